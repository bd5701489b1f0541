// SPDX-License-Identifier: Apache-2.0
// Whole seconds as a point in time.
#if canImport(Glibc)
    import Glibc
#endif

extension Timestamp {
    /// Seconds since 1970 in universal time, such as `2026-01-31T09:00:00Z`.
    static func text(seconds: Int) -> String {
        var time = time_t(seconds)
        var parts = tm()
        guard gmtime_r(&time, &parts) != nil else { return "1970-01-01T00:00:00Z" }
        var bytes = [CChar](repeating: 0, count: 64)
        let count = strftime(&bytes, bytes.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
        return String(decoding: bytes.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
