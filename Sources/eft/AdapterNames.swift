// SPDX-License-Identifier: Apache-2.0
// Adapters on the command line: a folder, or a name for it and the folder.
import EftCommandLine
import EftFormats

/// An adapter's folder under a name.
struct NamedAdapter {
    private(set) var name: String
    private(set) var folder: String

    static let option = OptionSpecification(
        "--adapter", "--lora", kind: .repeated("DIR"),
        help:
            "a PEFT adapter on top, DIR or NAME=DIR, where DIR may be a name on the hub; several add up",
        completion: .folder)

    /// The adapters of a command line; one without a name has that of its folder, with a number where two folders have
    /// the same.
    /// - Throws: `UsageError` for a name that is given twice.
    static func all(_ arguments: ParsedArguments) throws -> [NamedAdapter] {
        var adapters: [NamedAdapter] = []
        for text in arguments.strings("adapter") {
            var adapter = NamedAdapter(text)
            let given = adapter.folder
            adapter.folder = try arguments.adapter(at: given)
            func isTaken(_ name: String) -> Bool { adapters.contains { $0.name == name } }
            if isTaken(adapter.name) {
                guard given == text else {
                    throw arguments.error(
                        "adapter", "gives the name '\(adapter.name)' to two adapters")
                }
                let name = adapter.name
                let number = (2...).first { !isTaken("\(name)-\($0)") } ?? 2
                adapter.name = "\(name)-\(number)"
            }
            adapters.append(adapter)
        }
        return adapters
    }

    private init(_ text: String) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let isNamed =
            parts.count == 2 && !parts[0].isEmpty && !parts[1].isEmpty
            && !parts[0].contains("/") && !FileSystem.exists(text)
        folder = isNamed ? String(parts[1]) : text
        name =
            isNamed
            ? String(parts[0])
            : text.split(separator: "/").last { $0 != "." }.map(String.init) ?? text
    }
}
