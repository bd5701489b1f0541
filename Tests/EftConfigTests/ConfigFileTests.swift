// SPDX-License-Identifier: Apache-2.0
// Files on disk: documents and rows.

import EftConfig
import Foundation
import Testing

/// A folder that is removed with its last reference.
private final class Scratch: Sendable {
    let folder = FileManager.default.temporaryDirectory.appending(path: "eft-\(UUID().uuidString)")

    init() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func file(_ name: String, _ text: String) throws -> String {
        let url = folder.appending(path: name)
        try Data(text.utf8).write(to: url)
        return url.path
    }
}

struct ConfigFileTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    @Test(arguments: [
        ("a.json", "{\"k\": 1}"), ("a.yml", "k: 1"), ("a.YAML", "{k: 1}"),
        ("config", "\u{feff} {\"k\": 1}"),
        ("config", "# yaml\nk: 1"), ("a.json", "\u{feff}{\"k\": 1}"),
    ])
    func `reads the language that name or content say`(name: String, text: String) throws {
        let path = try scratch.file(name, text)
        let cursor = try ConfigFile.read(path)
        #expect(cursor.node == ["k": 1])
        #expect(cursor.file == path)
    }

    @Test func `accepts Python's infinities in files, and refuses them in use`() throws {
        let cursor = try ConfigFile.read(try scratch.file("a.json", "{\"a\": Infinity}"))
        let error = try #require(throws: ConfigError.self) { try cursor.double("a", default: 0) }
        #expect(error.code == .wrongType)
    }

    @Test func `names the file in every fault`() throws {
        let broken = try scratch.file("b.json", "{\n\"a\": }")
        #expect(
            try #require(throws: ConfigError.self) { try ConfigFile.read(broken) }.description
                .hasPrefix("\(broken):2: "))
        let absent = scratch.folder.path + "/absent.yml"
        let missing = try #require(throws: ConfigError.self) { try ConfigFile.read(absent) }
        #expect(missing.code == .unreadable)
        #expect(missing.description.hasPrefix(absent))
        let folder = try #require(throws: ConfigError.self) {
            try ConfigFile.read(scratch.folder.path)
        }
        #expect(folder.message.contains("folder"))
        #expect(throws: ConfigError.self) { try ConfigFile.read(absent + "\0.yml") }
        let large = try scratch.file("l.json", "[1,2,3,4]")
        let error = try #require(throws: ConfigError.self) {
            try ConfigFile.read(large, maximumSize: 8)
        }
        #expect(error.code == .tooLarge)
        #expect(try ConfigFile.read(large, maximumSize: 9).node == [1, 2, 3, 4])
    }

    @Test func `bounds what it reads from files without a size`() throws {
        let error = try #require(throws: ConfigError.self) {
            try ConfigFile.read("/dev/zero", maximumSize: 1 << 20)
        }
        #expect(error.code == .tooLarge)
    }
}

struct JSONLinesTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private func rows(_ text: String) throws -> [ConfigCursor] {
        try JSONLines(try scratch.file("rows.jsonl", text)).readAll()
    }

    @Test(arguments: [
        "{\"n\": 1}\n{\"n\": 2}\n", "{\"n\": 1}\n{\"n\": 2}",
        "\u{feff}\n{\"n\": 1}\r\n \t\r\n{\"n\": 2}\r\n\n",
        "[{\"n\": 1}, {\"n\": 2}]", "[\n  {\n    \"n\": 1\n  },\n  {\"n\": 2}\n]\n",
        "\u{feff} [{\"n\":1},{\"n\":2}]",
    ])
    func `reads lines and lists`(text: String) throws {
        #expect(try rows(text).map(\.node) == [["n": 1], ["n": 2]])
    }

    @Test(arguments: ["", "\n\n", "\u{feff}", "[]", " [ ] \n"])
    func `reads nothing from empty files`(text: String) throws {
        #expect(try rows(text).isEmpty)
    }

    @Test func `knows the line of each row`() throws {
        let lines = try rows("{\"n\": 1}\n\n{\"n\": 2}\n")
        #expect(lines.map(\.node.line) == [1, 3])
        let list = try rows("[\n{\"n\":\n1},\n\n{\"n\": \"]},{\\\"\"}]")
        #expect(list.map(\.node.line) == [2, 5])
        #expect(try list[1].string("n", default: "") == "]},{\"")
        let error = try #require(throws: ConfigError.self) { try lines[1].required("text") }
        #expect(error.description.hasSuffix("rows.jsonl:3: the key 'text' is missing"))
    }

    @Test(
        arguments: [
            ("{\"n\": 1}\n{\"n\": \n", 2), ("{\"n\": 1} {\"n\": 2}\n", 1), ("{\n\"n\": 1}\n", 1),
            ("x", 1),
            ("[{\"n\": 1}\n{\"n\": 2}]", 2), ("[{\"n\": 1},\n]", 2), ("[{\"n\": 1}", 1),
            ("[1] 2", 1),
            ("[\n\"abc", 2), ("[\"\\", 1), ("[,1]", 1), ("[1,,2]", 1), ("[1}", 1),
            ("{}\n\n{\"a\": 1, \"a\": 2}", 3),
        ] as [(String, Int)])
    func `refuses broken rows with their line`(text: String, line: Int) throws {
        let error = try #require(throws: ConfigError.self) { try rows(text) }
        #expect(error.line == line, "\(error)")
    }

    @Test func `gives the rows before a broken one`() throws {
        let reader = try JSONLines(try scratch.file("r.jsonl", "{\"n\": 1}\nbroken\n"))
        #expect(try reader.next()?.node == ["n": 1])
        #expect(throws: ConfigError.self) { try reader.next() }
    }

    @Test(arguments: ["\n", ","])
    func `reads rows across pieces of the file`(separator: String) throws {
        let long = String(repeating: "é\\\"]", count: 100_000)
        let texts = (0..<40).map { "{\"n\": \($0), \"t\": \"\($0 % 7 == 3 ? long : "x")\"}" }
        let joined = texts.joined(separator: separator)
        let found = try rows(separator == "\n" ? joined : "[\(joined)]")
        #expect(try found.map { row in try row.int("n", default: -1) } == Array(0..<40))
        #expect(try found[3].string("t", default: "").utf8.count == 400_000)
    }

    @Test(arguments: ["\"aaaaaaaa\"", "[\"aaaaaaaa\"]"])
    func `bounds a row`(text: String) throws {
        let path = try scratch.file("l.jsonl", String(repeating: " ", count: 600_000) + text)
        #expect(throws: Never.self) { try JSONLines(path, maximumRowSize: 10).readAll() }
        let long = text.replacing("aaaa", with: String(repeating: "a", count: 300_000))
        let large = try scratch.file("m.jsonl", long)
        let error = try #require(throws: ConfigError.self) {
            try JSONLines(large, maximumRowSize: 1000).readAll()
        }
        #expect(error.code == .tooLarge)
    }

    @Test func `refuses folders and absent files`() throws {
        #expect(throws: ConfigError.self) { try JSONLines(scratch.folder.path) }
        #expect(throws: ConfigError.self) { try JSONLines(scratch.folder.path + "/absent") }
    }
}
