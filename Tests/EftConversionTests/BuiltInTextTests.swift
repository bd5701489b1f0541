// SPDX-License-Identifier: Apache-2.0
// The built-in calibration text and its rows.
import EftConversion
import EftFormats
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

@Suite struct BuiltInTextTests {
    /// Bytes as tokens.
    private func encode(_ text: String) -> [Int32] { text.utf8.map { Int32($0) } }

    @Test func `the text is of many kinds and scripts`() {
        let documents = BuiltInText.documents
        let all = documents.joined(separator: "\n")
        #expect(all.utf8.count > 40_000)
        #expect(documents.allSatisfy { $0.utf8.count > 200 })
        #expect(Set(documents).count == documents.count)
        for (name, range) in [
            ("Cyrillic", 0x400...0x4FF), ("Han", 0x4E00...0x9FFF), ("Kana", 0x3040...0x30FF),
            ("Hangul", 0xAC00...0xD7A3), ("Arabic", 0x600...0x6FF),
            ("Devanagari", 0x900...0x97F), ("Greek", 0x370...0x3FF), ("emoji", 0x1F300...0x1FAFF),
        ] as [(String, ClosedRange<UInt32>)] {
            #expect(all.unicodeScalars.contains { range.contains($0.value) }, "\(name)")
        }
        for mark in [
            "def main(", "#include <", "SELECT ", "</table>", "\\begin{", "User: ", "| year |",
        ] {
            #expect(all.contains(mark), "\(mark)")
        }
        // Sentences are joined where the source breaks a line.
        #expect(all.contains("The Moon pulls more strongly on the water that faces it than"))
    }

    @Test func `rows are full, the same each time, and end with a row of random tokens`() throws {
        let rows = try BuiltInText.rows(1000, length: 512, vocabulary: 300, encode: encode)
        let plain = BuiltInText.documents.flatMap(encode)
        #expect(rows.rows.count == 3 * (plain.count / 512) + 1)
        #expect(rows.rows.allSatisfy { $0.count == 512 })
        #expect(rows.rows[0] == Array(plain[..<512]))
        #expect(rows.rows[1] == Array(plain[512..<1024]))
        #expect(try BuiltInText.rows(1000, length: 512, vocabulary: 300, encode: encode) == rows)
        let last = try #require(rows.rows.last)
        #expect(last.allSatisfy { (0..<300).contains($0) })
        #expect(Set(last).count > 150)
        #expect(Set(rows.rows).count == rows.rows.count)
        #expect(rows.path == nil)
    }

    @Test func `no more rows are made than are asked for`() throws {
        let few = try BuiltInText.rows(3, length: 512, vocabulary: 300, encode: encode)
        #expect(few.rows.count == 3)
        let long = try BuiltInText.rows(5, length: 1 << 20, vocabulary: 300, encode: encode)
        #expect(long.rows.count == 1)
        #expect(throws: ConversionError.self) {
            try BuiltInText.rows(3, length: 1, vocabulary: 300, encode: encode)
        }
    }

    @Test(arguments: ["rows.arrow", "text.txt.gz", "rows.CSV"])
    func `files that are no text are refused by name`(_ name: String) throws {
        let folder = try TemporaryFolder()
        let file = try folder.write(name, "some text that must not be read as it is")
        let error = try #require(throws: ConversionError.self) {
            try CalibrationRows(file: file, rows: 2, length: 4, encode: encode)
        }
        #expect(error.code == .usage && error.description.contains(".jsonl"))
    }

    @Test func `the columns of Parquet rows are joined by a space`() throws {
        let file = Fixtures.path("formats/parquet/usual.parquet")
        var texts: [String] = []
        _ = try CalibrationRows(file: file, rows: 60, length: 5000) { text in
            texts.append(text)
            return text.utf8.map { Int32($0) }
        }
        #expect(texts.count == 60)
        // Text as it is, numbers, truth values, lists and mappings as JSON, nothing for what is not there.
        #expect(
            texts[1].hasPrefix(
                "999998 -1584984309 196 17 -0.9990581829876457 96.375 false the home")
        )
        #expect(
            texts[1].contains(
                #" [] [] [{"key": "äöü 日本 fox fox fox home", "value": 9}] 2381135001741069"#))
    }
}

@Suite struct QuantizeSettingsTests {
    private func rows(_ folder: TemporaryFolder) throws -> CalibrationRows {
        let text = String(repeating: "some words to calibrate on. ", count: 8)
        let file = try folder.write("words.txt", text)
        return try CalibrationRows(file: file, rows: 4, length: 40) { text in
            text.utf8.map { Int32($0) % Int32(TinyModel.vocabulary) }
        }
    }

    private func job(
        _ folder: TemporaryFolder, scale: Double? = nil, alpha: Double? = nil, anew: Bool = false
    ) throws -> QuantizeJob {
        if !FileSystem.exists(folder.file("model")) { _ = try TinyModel.write(to: folder) }
        var options = QuantizeOptions(
            bits: 4, recipe: .uniform, headBits: 6, rows: 4, length: 40, startsAnew: anew)
        (options.ropeScale, options.ropeAlpha) = (scale, alpha)
        return try QuantizeJob(
            input: folder.file("model"), work: folder.file("work"), output: folder.file("out"),
            calibration: rows(folder), options: options, backend: CPUBackend(threads: 2))
    }

    @Test func `the work folder knows what its job was given`() throws {
        let folder = try TemporaryFolder()
        #expect(try QuantizeSettings.read(work: folder.file("work")) == nil)
        _ = try job(folder, alpha: 2).run()
        let settings = try #require(try QuantizeSettings.read(work: folder.file("work")))
        #expect(settings.input == folder.file("model"))
        #expect(settings.output == folder.file("out"))
        #expect(settings.calibration == folder.file("words.txt"))
        #expect(settings.options.ropeAlpha == 2 && settings.options.ropeScale == nil)
        #expect((settings.options.bits, settings.options.headBits) == (4, 6))
        #expect((settings.options.rows, settings.options.length) == (4, 40))
        try folder.write("work/job_new.json", "{\"bits\": \"four\"}")
        let error = try #require(throws: ConversionError.self) {
            try QuantizeSettings.read(work: folder.file("work"))
        }
        #expect(error.code == .damaged)
    }

    @Test func `a stretched rotary embedding goes into the config and makes another job`() throws {
        let folder = try TemporaryFolder()
        _ = try job(folder, scale: 4, alpha: 2).run()
        let before = try ModelFolder.open(folder.file("model")).description.rotary
        let after = try ModelFolder.open(folder.file("out")).description.rotary
        #expect(after.scaling == .linear(factor: 4))
        #expect(after.theta > 2 * before.theta)
        #expect(throws: ConversionError.self) { try job(folder) }
        #expect(try job(folder, scale: 4, alpha: 2).resumedLayers > 0)
    }

    @Test func `a plan to start anew throws nothing away yet`() throws {
        let folder = try TemporaryFolder()
        _ = try job(folder).run()
        let before = try folder.tree("work")
        #expect(try job(folder, anew: true).resumedLayers == 0)
        #expect(try folder.tree("work") == before)
        _ = try job(folder, anew: true).run()
        #expect(try folder.tree("work").keys.sorted() == before.keys.sorted())
    }
}
