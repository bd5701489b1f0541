// SPDX-License-Identifier: Apache-2.0
// How much memory the machine has left for everybody.

#if canImport(Glibc)
    import Glibc
#endif

/// What the operating system says of the machine's memory.
package enum MachineMemory {
    /// Bytes that programs can still take without others having to give theirs up; nil where the system does not say.
    ///
    /// Inside a control group with a limit it is what that leaves, when it is less.
    package static var available: Int? {
        let machine = value(of: "MemAvailable:", in: "/proc/meminfo").map { $0 << 10 }
        return [machine, groupAvailable].compactMap(\.self).min()
    }

    /// Whether little is left: less than a 32nd of what there is in all, at most 512 MiB.
    package static var isShort: Bool {
        guard let available else { return false }
        let (pages, size) = (sysconf(Int32(_SC_PHYS_PAGES)), sysconf(Int32(_SC_PAGESIZE)))
        let machine = max(pages, 0).multipliedReportingOverflow(by: max(size, 0)).partialValue
        let total = min(machine, groupLimit ?? .max)
        return available < min(total / 32, 512 << 20)
    }

    private static let group = "/sys/fs/cgroup"

    private static var groupLimit: Int? { text(group + "/memory.max").flatMap { number($0[...]) } }

    /// What the limit of the program's control group leaves, files that may be dropped included.
    private static var groupAvailable: Int? {
        guard let limit = groupLimit,
            let used = text(group + "/memory.current").flatMap({ number($0[...]) })
        else { return nil }
        let droppable = value(of: "inactive_file", in: group + "/memory.stat") ?? 0
        return max(0, limit - max(0, used - min(droppable, used)))
    }

    /// The number behind a name at the beginning of a line.
    private static func value(of name: String, in path: String) -> Int? {
        guard let text = text(path) else { return nil }
        for line in text.split(separator: "\n") where line.hasPrefix(name + " ") {
            return number(line.dropFirst(name.count))
        }
        return nil
    }

    private static func number(_ text: Substring) -> Int? {
        Int(text.drop { !$0.isNumber }.prefix { $0.isNumber })
    }

    private static func text(_ path: String) -> String? {
        guard let file = fopen(path, "re") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 16 << 10)
        let count = fread(&bytes, 1, bytes.count, file)
        return count > 0 ? String(decoding: bytes.prefix(count), as: UTF8.self) : nil
    }
}
