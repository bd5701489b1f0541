// SPDX-License-Identifier: Apache-2.0
// What the operating system says that this process holds.

#if canImport(Glibc)
    import Glibc
#endif

/// Resident memory of this process.
package enum ResidentMemory {
    /// Resident bytes now; 0 where the system does not say.
    package static var now: Int { status("VmRSS") }

    /// The most resident bytes so far; 0 where the system does not say.
    package static var peak: Int { status("VmHWM") }

    /// A line of /proc/self/status in bytes; 0 where there is none.
    private static func status(_ key: String) -> Int {
        guard let file = fopen("/proc/self/status", "r") else { return 0 }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = String(
                decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            guard text.hasPrefix(key + ":") else { continue }
            let digits = text.drop { !$0.isNumber }.prefix { $0.isNumber }
            return (Int(digits) ?? 0) << 10
        }
        return 0
    }
}
