// SPDX-License-Identifier: Apache-2.0
// Importance matrices: how much each input of a linear layer matters, by llama.cpp's files.

/// Mean squares of the inputs of each weight, as `llama-imatrix` collects them; read from the file when they are needed.
///
/// A GGUF file (`general.type` imatrix) has for each weight `<name>.in_sum2` [slices, columns] and `<name>.counts` [slices, 1].
/// The older form is a number of entries, each a name, a number of calls, a count and so many f32 sums, and then, in later
/// versions, the number of chunks and the name of the text.
package struct ImportanceMatrix: Sendable {
    private struct Entry: Sendable {
        /// Where the sums lie.
        var sums: Range<Int>
        /// What they are divided by: where a count for each slice lies, or one for all.
        var counts: Range<Int>?
        var calls: Float = 1
    }

    /// The file.
    package let path: String
    /// The text that the numbers were collected on, where the file says so.
    package private(set) var text: String?
    /// Pieces of that text.
    package private(set) var chunks: Int?
    private var entries: [String: Entry] = [:]
    private let input: GGUFInput

    private static let most = 1 << 20
    private static let longestName = 1 << 10
    private static let sumSuffix = ".in_sum2"
    private static let countSuffix = ".counts"

    /// Weights that the file has numbers for.
    package var names: [String] { entries.keys.sorted() }

    /// Reads what the file has, not the numbers themselves.
    /// - Throws: `GGUFError` for a file of another kind or a damaged one.
    package init(path: String) throws(GGUFError) {
        self.path = path
        input = try GGUFInput(path: path)
        if GGUFHeader.isOne(path) { try readGGUF() } else { try readEntries() }
        guard !entries.isEmpty else {
            throw GGUFError(.damaged, "the importance matrix has no numbers", path: path)
        }
    }

    private mutating func readGGUF() throws(GGUFError) {
        let header = try GGUFHeader(path: path)
        guard header.metadata["general.type"]?.text == "imatrix" else {
            throw GGUFError(
                .unsupported, "this GGUF file is no importance matrix (general.type imatrix)",
                path: path)
        }
        var tensors: [String: GGUFTensor] = [:]
        for tensor in header.tensors { tensors[tensor.name] = tensor }
        for tensor in header.tensors where tensor.name.hasSuffix(Self.sumSuffix) {
            let name = String(tensor.name.dropLast(Self.sumSuffix.count))
            guard let counts = tensors[name + Self.countSuffix], tensor.type == .f32,
                counts.type == .f32, counts.bytes.count == tensor.rows * 4
            else {
                throw GGUFError(
                    .damaged, "has no count for each of its \(tensor.rows) rows of f32",
                    path: path, tensor: tensor.name)
            }
            entries[name] = Entry(sums: tensor.bytes, counts: counts.bytes)
        }
        chunks = header.metadata["imatrix.chunk_count"]?.whole
    }

    private mutating func readEntries() throws(GGUFError) {
        var scanner = GGUFScanner(input, 0..<input.byteCount)
        func number() throws(GGUFError) -> Int { Int(try scanner.next(Int32.self)) }
        func failure(_ message: String) -> GGUFError {
            GGUFError(
                .damaged,
                "\(message) (at byte \(scanner.position)); this is no importance matrix of llama-imatrix",
                path: path)
        }
        guard input.byteCount >= 4 else { throw failure("the file is too short") }
        let count = try number()
        guard count > 0, count <= Self.most else { throw failure("it announces \(count) entries") }
        for _ in 0..<count {
            let length = try number()
            guard length > 0, length <= Self.longestName else {
                throw failure("a name has \(length) bytes")
            }
            let name = String(decoding: try scanner.nextBytes(length), as: UTF8.self)
            let (calls, values) = (try number(), try number())
            guard calls >= 0, values > 0, values <= scanner.remaining / 4 else {
                throw failure("'\(name.prefix(100))' has \(values) numbers of \(calls) calls")
            }
            let start = scanner.position
            try scanner.skip(values, of: 4)
            let entry = Entry(sums: start..<scanner.position, calls: Float(max(calls, 1)))
            guard entries.updateValue(entry, forKey: name) == nil else {
                throw failure("'\(name.prefix(100))' stands there twice")
            }
        }
        guard scanner.remaining >= 8 else { return }
        chunks = try number()
        let length = try number()
        guard length > 0, length <= scanner.remaining else { return }
        text = String(decoding: try scanner.nextBytes(length), as: UTF8.self)
    }

    // MARK: Numbers

    /// How much each column of a weight matters.
    /// - Parameters:
    ///   - slices: matrices of the weight, such as experts; all have the same numbers where the file has them once.
    ///   - target: room for slices x columns numbers, which are above zero.
    /// - Returns: whether the file has numbers for the weight.
    /// - Throws: `GGUFError` (`damaged`) for numbers that are none or do not fit.
    package func weights(
        of name: String, columns: Int, slices: Int, into target: UnsafeMutableBufferPointer<Float>
    ) throws(GGUFError) -> Bool {
        guard let entry = entries[name] else { return false }
        let stored = entry.sums.count / 4
        guard stored == columns || stored == columns * slices, target.count == columns * slices
        else {
            throw GGUFError(
                .damaged,
                "has \(stored) numbers where the weight has \(slices == 1 ? "" : "\(slices) times ")\(columns) inputs; "
                    + "the matrix is that of another model", path: path, tensor: name)
        }
        let own = UnsafeMutableBufferPointer(rebasing: target[..<stored])
        try read(entry.sums, into: own)
        var counts = [Float](repeating: entry.calls, count: stored / columns)
        if let place = entry.counts {
            guard place.count == counts.count * 4 else {
                throw GGUFError(
                    .damaged, "has \(place.count / 4) counts for \(counts.count) matrices",
                    path: path, tensor: name)
            }
            var failure: GGUFError?
            counts.withUnsafeMutableBufferPointer { buffer in
                do throws(GGUFError) { try read(place, into: buffer) } catch { failure = error }
            }
            if let failure { throw failure }
        }
        for (slice, count) in counts.enumerated() {
            let part = UnsafeMutableBufferPointer(
                rebasing: own[slice * columns..<(slice + 1) * columns])
            guard count.isFinite, count >= 0, Self.settle(part, count: count) else {
                throw GGUFError(
                    .damaged, "has sums of squares that are negative or no finite numbers",
                    path: path, tensor: name)
            }
        }
        guard let first = target.baseAddress else { return false }
        for slice in counts.count..<max(slices, counts.count) {
            (first + slice * columns).update(from: first, count: columns)
        }
        return true
    }

    /// Makes means of sums, all of them above zero; what was never called counts alike.
    private static func settle(_ part: UnsafeMutableBufferPointer<Float>, count: Float) -> Bool {
        var sum = 0.0
        for value in part {
            guard value.isFinite, value >= 0 else { return false }
            sum += Double(value)
        }
        let mean = Float(sum / Double(max(part.count, 1)))
        guard count > 0, mean > 0, mean.isFinite else {
            part.update(repeating: 1)
            return true
        }
        // No column counts for nothing.
        for index in part.indices { part[index] = max(part[index] / mean, 1e-6) }
        return true
    }

    private func read(
        _ range: Range<Int>, into target: UnsafeMutableBufferPointer<Float>
    ) throws(GGUFError) {
        try input.read(at: range.lowerBound, into: UnsafeMutableRawBufferPointer(target))
    }
}
