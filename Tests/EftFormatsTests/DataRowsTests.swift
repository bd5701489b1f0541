// SPDX-License-Identifier: Apache-2.0
// Rows of files in every form and compression, against the same rows in JSON.
import EftConfig
import EftTensor
import EftTestSupport
import Testing

@testable import EftFormats

struct DataRowsTests {
    private static let folder = Fixtures.path("formats/rows")

    private func rows(_ path: String, form: DataRows.Form? = nil) throws -> [ConfigCursor] {
        let rows = try DataRows(path, form: form)
        var result: [ConfigCursor] = []
        while let row = try rows.next() { result.append(row) }
        return result
    }

    @Test(arguments: [
        "rows.jsonl.gz", "rows.jsonl.zst", "rows.csv", "rows-crlf.csv", "rows.tsv", "rows.csv.gz",
    ])
    func `a file gives the rows that were written`(name: String) throws {
        let expected = try rows(FileSystem.join(Self.folder, "rows.jsonl"))
        let path = FileSystem.join(Self.folder, name)
        let found = try rows(path)
        #expect(found.count == expected.count && found.count == 305)
        for (row, wanted) in zip(found, expected) {
            let isEqual = row.node == wanted.node
            #expect(isEqual, "\(JSONWriter.text(row.node)), not \(JSONWriter.text(wanted.node))")
            #expect(row.file == path)
        }
        // A row of CSV may stand on several lines.
        #expect(found[1].node.line == (name.contains("json") ? 2 : 3))
        #expect(found[3].node.line == (name.contains("json") ? 4 : 7))
    }

    @Test func `lines of a text are rows`() throws {
        let found = try rows(FileSystem.join(Self.folder, "lines.txt"))
        #expect(
            try found.map { try $0.required("text").string() }
                == ["first", "second", "", "ünï 漢字"])
        #expect(found.map(\.node.line) == [1, 2, 3, 4])
    }

    @Test func `a form that is named counts, whatever the name of the file`() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("data", "a,b\n1,2\n")
        #expect(try rows(path, form: .csv).map(\.node) == [["a": "1", "b": "2"]])
        #expect(try rows(path, form: .text).count == 2)
        #expect(throws: ConfigError.self) { try rows(path) }
        #expect(DataRows.form(of: "x/Rows.JSONL.GZ") == .json)
        #expect(DataRows.form(of: "rows.tsv.zst") == .csv)
        #expect(DataRows.form(of: "rows.bin") == nil)
    }

    // MARK: Faults

    @Test(arguments: [
        ("a,a\n1,2\n", 1, "name every field"), ("a,\n1,2\n", 1, "name every field"),
        ("a,b\n1,2\n1,2,3\n", 3, "3 fields"), ("a,b\n\n\"x\n", 3, "not closed"),
        ("a,b\n\"x\"y,2\n", 2, "behind a quoted field"),
    ])
    func `faulty CSV is named with its line`(_ text: String, _ line: Int, _ hint: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("rows.csv", text)
        let error = try #require(throws: ConfigError.self) { try rows(path) }
        #expect(error.line == line && error.message.contains(hint), "\(error)")
    }

    @Test func `short rows lack their last fields, and an empty file has no row`() throws {
        let folder = try TemporaryFolder()
        let short = try folder.write("short.csv", "a,b\n1\n\n2,3")
        #expect(try rows(short).map(\.node) == [["a": "1"], ["a": "2", "b": "3"]])
        for name in ["e.csv", "e.txt", "e.jsonl"] {
            #expect(try rows(folder.write(name, "")).isEmpty)
        }
        let bytes = try folder.write("bad.txt", [0x61, 0x0A, 0xFF, 0x0A])
        #expect(try #require(throws: ConfigError.self) { try rows(bytes) }.line == 2)
    }

    @Test(arguments: ["rows.jsonl.gz", "rows.jsonl.zst"])
    func `a compressed file that is cut or altered is an error, or has other rows`(
        name: String
    ) throws {
        let whole = try FileSystem.read(FileSystem.join(Self.folder, name))
        let folder = try TemporaryFolder()
        for end in [1, 10, whole.count / 3, whole.count - 1] {
            let path = try folder.plainWrite("cut-\(end)-\(name)", Array(whole.prefix(end)))
            #expect(throws: (any Error).self) { try rows(path) }
        }
        var random = SplitMix64(seed: 3)
        for round in 0..<300 {
            let path = try folder.plainWrite(
                "x-\(name)", random.mutated(whole, headBias: whole.count))
            do { _ = try rows(path) } catch {
                #expect(error is ConfigError, "round \(round): \(error)")
            }
        }
    }

    @Test func `no altered CSV makes it crash`() throws {
        let whole = Array(try FileSystem.read(FileSystem.join(Self.folder, "rows.csv")).prefix(400))
        let folder = try TemporaryFolder()
        var random = SplitMix64(seed: 4)
        for round in 0..<500 {
            let path = try folder.plainWrite("x.csv", random.mutated(whole, headBias: whole.count))
            do { _ = try rows(path) } catch {
                #expect(error is ConfigError, "round \(round): \(error)")
            }
        }
    }
}
