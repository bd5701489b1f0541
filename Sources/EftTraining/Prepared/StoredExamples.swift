// SPDX-License-Identifier: Apache-2.0
// Examples as tensors of a safetensors file.
import EftConfig
import EftFormats
import EftTensor

/// Examples of a kind (`train`, `validation`) one behind the other, in tensors of Int32:
///
/// | tensor | content |
/// |---|---|
/// | `KIND.lengths` | for each example the number of its tokens |
/// | `KIND.tokens`, `KIND.labels` | tokens and labels of all examples |
/// | `KIND.preferences` | for each example 0, or what is said of its answer: 1 better than another, 2 bad, 3 good |
/// | `KIND.rejected_lengths`, `_tokens`, `_labels` | the same as above for the other answers, where there is one |
///
/// Tensors without elements are left out.
struct StoredExamples {
    private enum Mark: Int32 {
        case none = 0
        case over, bad, good
    }

    private let kind: String

    /// Examples of a kind.
    init(_ kind: String) { self.kind = kind }

    private func name(_ part: String) -> String { kind + "." + part }

    // MARK: Writing

    private static func mark(_ example: TrainingExample) -> Int32 {
        switch example.preference {
        case nil: Mark.none.rawValue
        case .over: Mark.over.rawValue
        case .desirable(let isGood): (isGood ? Mark.good : .bad).rawValue
        }
    }

    /// The lists that make up each tensor, one behind the other.
    private func parts(
        _ examples: [TrainingExample]
    ) -> [(name: String, lists: [[Int32]])] {
        let others = examples.compactMap(\.rejected)
        func lengths(_ examples: [TrainingExample]) -> [Int32] {
            examples.map { Int32(clamping: $0.tokens.count) }
        }
        return [
            ("lengths", [lengths(examples)]),
            ("tokens", examples.map(\.tokens)),
            ("labels", examples.map(\.labels)),
            ("preferences", [examples.map(Self.mark)]),
            ("rejected_lengths", [lengths(others)]),
            ("rejected_tokens", others.map(\.tokens)),
            ("rejected_labels", others.map(\.labels)),
        ].filter { !$0.1.allSatisfy(\.isEmpty) }
    }

    /// The tensors that examples take.
    func tensors(_ examples: [TrainingExample]) throws -> [TensorInfo] {
        try parts(examples).map { part in
            let count = part.lists.reduce(0) { $0 + $1.count }
            return try TensorInfo(
                name: name(part.name), dtype: .i32, shape: Shape(checking: [count]))
        }
    }

    /// Writes the tensors, example by example.
    func write(_ examples: [TrainingExample], to writer: SafetensorsWriter) throws {
        for part in parts(examples) {
            for values in part.lists {
                try values.withUnsafeBytes { try writer.write(name(part.name), $0) }
            }
        }
    }

    // MARK: Reading

    /// One list of sequences: their lengths, and where they are read from.
    private struct Sequences {
        let file: SafetensorsFile
        let lengths: [Int32]
        let names: (tokens: String, labels: String)
        private var next = 0
        private var byte = 0

        init(_ file: SafetensorsFile, _ lengths: [Int32], tokens: String, labels: String) throws {
            self.file = file
            self.lengths = lengths
            names = (tokens, labels)
            var total = 0
            for length in lengths {
                guard length >= 0 else { throw StoredExamples.damaged(file) }
                total += Int(length)
            }
            for name in [tokens, labels] {
                guard try StoredExamples.count(file, name) == total else {
                    throw StoredExamples.damaged(file)
                }
            }
        }

        var isAtEnd: Bool { next == lengths.count }

        mutating func take() throws -> TrainingExample {
            guard next < lengths.count else { throw StoredExamples.damaged(file) }
            let end = byte + 4 * Int(lengths[next])
            let range = byte..<end
            (next, byte) = (next + 1, end)
            return TrainingExample(
                tokens: try StoredExamples.values(file, names.tokens, range),
                labels: try StoredExamples.values(file, names.labels, range))
        }
    }

    /// Reads the examples back.
    /// - Throws: `FormatError` (`damaged`) when the tensors do not fit together.
    func read(_ file: SafetensorsFile) throws -> [TrainingExample] {
        let marks = try Self.all(file, name("preferences"))
        var own = try Sequences(
            file, Self.all(file, name("lengths")), tokens: name("tokens"), labels: name("labels"))
        var others = try Sequences(
            file, Self.all(file, name("rejected_lengths")), tokens: name("rejected_tokens"),
            labels: name("rejected_labels"))
        guard marks.count == own.lengths.count else { throw Self.damaged(file) }
        var examples: [TrainingExample] = []
        for mark in marks {
            var example = try own.take()
            switch Mark(rawValue: mark) {
            case Mark.none?: break
            case .over?:
                let other = try others.take()
                example.preference = .over(tokens: other.tokens, labels: other.labels)
            case .bad?: example.preference = .desirable(false)
            case .good?: example.preference = .desirable(true)
            case nil: throw Self.damaged(file)
            }
            examples.append(example)
        }
        guard others.isAtEnd else { throw Self.damaged(file) }
        return examples
    }

    private static func damaged(_ file: SafetensorsFile) -> FormatError {
        FormatError(.damaged, "its parts do not fit together", path: file.path)
    }

    /// The number of elements of a tensor; 0 when it is not there.
    private static func count(_ file: SafetensorsFile, _ name: String) throws -> Int {
        guard let info = file.find(name) else { return 0 }
        guard info.dtype == .i32 else { throw damaged(file) }
        return info.byteCount / 4
    }

    private static func all(_ file: SafetensorsFile, _ name: String) throws -> [Int32] {
        try values(file, name, 0..<4 * count(file, name))
    }

    /// Bytes of a tensor, which must be there, as values.
    private static func values(
        _ file: SafetensorsFile, _ name: String, _ bytes: Range<Int>
    ) throws -> [Int32] {
        if bytes.isEmpty { return [] }
        var values = [Int32](repeating: 0, count: bytes.count / 4)
        try values.withUnsafeMutableBytes { try file.read(name, bytes: bytes, into: $0) }
        return values
    }
}
