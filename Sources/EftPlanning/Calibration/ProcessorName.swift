// SPDX-License-Identifier: Apache-2.0
// What the processor is called.
import EftFormats

#if canImport(Glibc)
    import Glibc
#endif

/// The name of the machine's processor.
package enum ProcessorName {
    /// As the system gives it, such as `AMD EPYC 9354`; the kind of machine where it has no name.
    package static var current: String {
        // The file says that it has no bytes, so it is read to its end instead of by its size.
        guard let file = fopen("/proc/cpuinfo", "r") else { return kind }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 512)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = String(
                decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            if let name = name(inLine: text) { return name }
        }
        return kind
    }

    /// The name in a line of `/proc/cpuinfo`; nil when the line says something else.
    static func name(inLine line: String) -> String? {
        guard line.hasPrefix("model name"), let colon = line.firstIndex(of: ":") else { return nil }
        let words = line[line.index(after: colon)...].split(whereSeparator: \.isWhitespace)
        return words.isEmpty ? nil : words.joined(separator: " ")
    }

    private static var kind: String {
        #if arch(x86_64)
            "x86_64"
        #elseif arch(arm64)
            "arm64"
        #else
            "unknown"
        #endif
    }
}
