// SPDX-License-Identifier: Apache-2.0
// Checkpoints whose numbers, or whose sheer amount of values, ask for more memory than any checkpoint needs.
import EftFormats
import EftTensor
import EftTestSupport
import Testing

struct TorchBoundsTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func open(_ bytes: [UInt8]) throws -> TorchPickle {
        let path = folder.file("model.bin")
        try AtomicFile.write(path, bytes)
        return try TorchPickle(path: path)
    }

    private func refusal(_ bytes: [UInt8]) -> FormatError? {
        let error = #expect(throws: FormatError.self) { try open(bytes) }
        #expect(error?.code == .damaged || error?.code == .unsupported)
        return error
    }

    /// A state dict of one tensor, with something before it.
    private func pickle(_ before: (inout PickleBuilder) -> Void = { _ in }) -> PickleBuilder {
        var pickle = PickleBuilder()
        before(&pickle)
        pickle.add("}".utf8)
        pickle.text("weight")
        pickle.tensor(key: "0", count: 6, shape: [2, 3], strides: [3, 1])
        pickle.add("s".utf8)
        return pickle
    }

    private let storage = [(key: "0", data: [UInt8](repeating: 1, count: 24))]

    @Test func `what the builder makes is a checkpoint`() throws {
        let reader = try open(pickle().archive(storage))
        #expect(reader.tensors.map(\.name) == ["weight"])
        #expect(try reader.bytes(of: "weight") == [UInt8](repeating: 1, count: 24))
    }

    @Test(arguments: [
        ("(", 6_000_000), ("N2", 3_000_000), ("]", 3_000_000), ("K0K0\u{86}0", 2_000_000),
    ])
    func `millions of small values`(operations: String, count: Int) {
        // The characters stand for bytes.
        let unit = operations.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
        let error = refusal(
            pickle { $0.add(unit, times: count) }.archive(storage))
        #expect(error?.message.contains("more values") == true)
    }

    @Test func `a memo of millions of entries`() {
        // Each entry takes the next number.
        let error = refusal(
            pickle { $0.add([UInt8(ascii: "N"), 0x94], times: 1_500_000) }.archive(storage))
        #expect(error?.message.contains("more values") == true)
    }

    @Test func `a long list that is copied into tuple after tuple`() {
        let error = refusal(
            pickle { pickle in
                // A mark, 1000 values and a tuple of them, thousands of times.
                let unit =
                    [UInt8(ascii: "(")] + Array(repeating: UInt8(ascii: "N"), count: 1000)
                    + [UInt8(ascii: "t"), UInt8(ascii: "0")]
                pickle.add(unit, times: 5000)
            }.archive(storage))
        #expect(error?.message.contains("more values") == true)
    }

    @Test func `a text that is longer than the file, or than any name`() {
        let lie = refusal(pickle { $0.text("a", claimed: .max) }.archive(storage))
        #expect(lie?.message.contains("4294967295") == true)
        let long = String(repeating: "a", count: 3 << 20)
        let error = refusal(pickle { $0.text(long) }.archive(storage))
        #expect(error?.message.contains("no checkpoint needs") == true)
    }

    @Test func `names that grow by nesting`() {
        var pickle = PickleBuilder()
        let part = String(repeating: "a", count: 600)
        for _ in 0..<3 {
            pickle.add("}".utf8)
            pickle.text(part)
        }
        pickle.tensor(key: "0", count: 6, shape: [2, 3], strides: [3, 1])
        pickle.add("sss".utf8)
        #expect(refusal(pickle.archive(storage))?.message.contains("name") == true)
    }

    @Test func `a tensor that is listed a million times`() {
        var pickle = PickleBuilder()
        pickle.add("}".utf8)
        pickle.text("list")
        pickle.add("(".utf8)
        pickle.tensor(key: "0", count: 6, shape: [2, 3], strides: [3, 1])
        pickle.add("q\u{0}".utf8)
        pickle.add(Array("h\u{0}".utf8), times: 1_000_000)
        pickle.add("ls".utf8)
        let error = refusal(pickle.archive(storage))
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("more ") == true)
    }

    @Test func `a line without an end`() {
        let error = refusal(
            pickle { pickle in
                pickle.add("I".utf8)
                pickle.add(repeatElement(UInt8(ascii: "1"), count: 100_000))
            }.archive(storage))
        #expect(error?.message.contains("line") == true)
    }

    @Test func `an archive of too many entries, or with too long a name`() {
        var many = ZipBuilder()
        many.add("archive/data.pkl", pickle().finished)
        let name = String(repeating: "x", count: 900)
        for index in 0..<30_000 { many.add("archive/data/\(name)\(index)", []) }
        #expect(refusal(many.finished())?.message.contains("more entries") == true)
        var long = ZipBuilder()
        long.add("archive/data.pkl", pickle().finished)
        long.add(String(repeating: "x", count: 5000), [])
        #expect(refusal(long.finished())?.message.contains("5000 bytes") == true)
    }

    @Test func `a compressed pickle that claims more than it has`() {
        for claimed in [UInt32(1000), 12 << 20, 60 << 20] {
            var zip = ZipBuilder()
            // Enough bytes to make the claim possible; they are no deflated data.
            zip.add(
                "archive/data.pkl", [UInt8](repeating: 7, count: 100_000), claimed: claimed,
                method: 8)
            _ = refusal(zip.finished())
        }
    }

    // MARK: Views

    /// A matrix of numbers 0, 1, 2 ... seen through strides.
    private func view(
        rows: Int, columns: Int, shape: [Int32], strides: [Int32], offset: Int32 = 0
    ) throws -> TorchPickle {
        let count = rows * columns
        var numbers = ByteBuilder()
        for index in 0..<count { numbers.add(Float(index).bitPattern) }
        var pickle = PickleBuilder()
        pickle.add("}".utf8)
        pickle.text("weight")
        pickle.tensor(
            key: "0", count: Int32(count), offset: offset, shape: shape, strides: strides)
        pickle.add("s".utf8)
        return try open(pickle.archive([(key: "0", data: numbers.bytes)]))
    }

    @Test(arguments: [(1, 300), (300, 1), (17, 300), (700, 301), (70_000, 3)])
    func `a transposed matrix, read in whole and in parts`(rows: Int, columns: Int) throws {
        let reader = try view(
            rows: columns, columns: rows, shape: [Int32(rows), Int32(columns)],
            strides: [1, Int32(rows)])
        let whole = try reader.floats(of: "weight")
        for index in stride(from: 0, to: rows * columns, by: 7) {
            #expect(whole[index] == Float(index % columns * rows + index / columns))
        }
        var random = SplitMix64(seed: 3)
        for _ in 0..<30 {
            let first = Int.random(in: 0..<rows * columns, using: &random)
            let end = Int.random(in: first..<rows * columns, using: &random)
            var part = [Float](repeating: -1, count: end - first)
            try part.withUnsafeMutableBufferPointer {
                try reader.readFloats("weight", elements: first..<end, into: $0)
            }
            #expect(part == Array(whole[first..<end]))
        }
    }

    @Test func `steps that are wider than what is read at a time`() throws {
        let reader = try view(
            rows: 5, columns: 100_000, shape: [2, 5], strides: [7, 100_000], offset: 3)
        #expect(
            try reader.floats(of: "weight")
                == [3, 100_003, 200_003, 300_003, 400_003, 10, 100_010, 200_010, 300_010, 400_010])
        let narrow = try view(
            rows: 1, columns: 400_000, shape: [100_001], strides: [3], offset: 2)
        let values = try narrow.floats(of: "weight")
        #expect(values.count == 100_001)
        #expect(values.enumerated().allSatisfy { $1 == Float(2 + 3 * $0) })
    }
}
