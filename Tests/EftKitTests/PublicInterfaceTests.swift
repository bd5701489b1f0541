// SPDX-License-Identifier: Apache-2.0
// The library's public declarations, so that none changes unnoticed.
import EftFormats
import EftTestSupport
import Foundation
import Testing

struct PublicInterfaceTests {
    /// Lists `public` declarations and cases, a line each, in order of files and lines, without bodies and default values
    /// of stored properties.
    private func declarations() throws -> [String] {
        let root = Fixtures.packageRoot + "/Sources/EftKit"
        var lines: [String] = []
        for file in try swiftFiles(root) {
            let text = String(decoding: try FileSystem.read(file), as: UTF8.self)
            lines.append("// " + file.dropFirst(root.count + 1))
            lines += declarations(in: text)
        }
        return lines
    }

    private func swiftFiles(_ folder: String) throws -> [String] {
        try FileSystem.list(folder).sorted().flatMap { name -> [String] in
            let path = folder + "/" + name
            if FileSystem.isFolder(path) { return try swiftFiles(path) }
            return name.hasSuffix(".swift") ? [path] : []
        }
    }

    private func declarations(in text: String) -> [String] {
        var found: [String] = []
        var open: String?
        for line in text.split(separator: "\n") {
            let words = line.drop { $0 == " " }
            if open == nil, words.hasPrefix("public ") || isEnumCase(words) { open = "" }
            guard let begun = open else { continue }
            let whole = begun.isEmpty ? String(words) : begun + " " + words
            // A declaration goes on until its parentheses are closed.
            let depth = whole.reduce(0) { $0 + ($1 == "(" ? 1 : $1 == ")" ? -1 : 0) }
            guard depth == 0, !whole.hasSuffix(")") || !isOpenEnded(whole) else {
                open = whole
                continue
            }
            found.append(signature(whole))
            open = nil
        }
        return found
    }

    /// Whether a line declares a case, which no `switch` does.
    private func isEnumCase(_ line: Substring) -> Bool {
        line.hasPrefix("case ")
            && !["case .", "case let ", "case is ", "case nil"].contains { line.hasPrefix($0) }
    }

    /// Whether a function's result or body must still follow.
    private func isOpenEnded(_ text: String) -> Bool {
        (text.contains("func ") || text.contains("init(")) && !text.contains("{")
    }

    private func signature(_ text: String) -> String {
        var result = text
        if let brace = result.firstIndex(of: "{") { result = String(result[..<brace]) }
        if result.contains(" var ") || result.contains(" let "),
            let value = result.range(of: " = ")
        {
            result = String(result[..<value.lowerBound])
        }
        while result.last == " " { result.removeLast() }
        return result
    }

    @Test func `the public interface is the one that is written down`() throws {
        let file = Fixtures.path("kit/public-interface.txt")
        let expected = String(decoding: try FileSystem.read(file), as: UTF8.self)
            .split(separator: "\n").map(String.init)
        let found = try declarations()
        let change = found.difference(from: expected).map { step in
            switch step {
            case .insert(_, let line, _): "+ \(line)"
            case .remove(_, let line, _): "- \(line)"
            }
        }
        #expect(
            change.isEmpty,
            "changed: \(change.joined(separator: "\n")); when that is meant, change \(file) and CHANGELOG.md"
        )
    }
}
