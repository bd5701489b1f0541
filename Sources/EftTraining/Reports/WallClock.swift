// SPDX-License-Identifier: Apache-2.0
// The date, and the machine's name, for names of files and for people.

#if canImport(Glibc)
    import Glibc
#endif

/// The time of day.
enum WallClock {
    /// How a time is written.
    enum Style: String {
        /// Sorts by time, and can be a part of a file's name.
        case fileName = "%Y-%m-%d_%H-%M-%S"
        /// For people.
        case minutes = "%Y-%m-%d %H:%M"
    }

    /// Seconds since 1970.
    static var seconds: Double {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9
    }

    /// Whole seconds; 0 for a time that no clock shows.
    static func whole(_ seconds: Double) -> Int { Int(exactly: seconds.rounded(.down)) ?? 0 }

    /// A time in the machine's time zone.
    static func text(_ seconds: Double, _ style: Style) -> String {
        var time = time_t(whole(seconds))
        var parts = tm()
        localtime_r(&time, &parts)
        var text = [CChar](repeating: 0, count: 64)
        let count = strftime(&text, text.count, style.rawValue, &parts)
        return String(decoding: text.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}

/// The machine's name.
enum HostName {
    /// Letters, digits, dots and hyphens of the name; `localhost` when it has none.
    static let text: String = {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "localhost" }
        let bytes = name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:))
        let text = String(decoding: bytes, as: UTF8.self).filter {
            $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "." || $0 == "-")
        }
        return text.isEmpty ? "localhost" : text
    }()
}
