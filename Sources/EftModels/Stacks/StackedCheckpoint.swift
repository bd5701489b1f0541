// SPDX-License-Identifier: Apache-2.0
// A checkpoint whose experts stand in one tensor together, seen as if each matrix were a tensor of its own.
import EftFormats
import EftGGUF
import EftTensor

/// Shows the parts of stacked tensors under the names of linear layers: `<expert's path>.weight` [outputs, inputs] and
/// `.bias`. Parts are read where they stand; nothing is kept.
///
/// Blocks of 32 numbers in 4 bits with a power of two each (MXFP4) are shown as the bf16 numbers that they mean, and as GGUF's blocks.
package final class StackedCheckpoint: CheckpointView {
    /// The checkpoint as it is.
    package let base: any CheckpointReader
    private let stack: ExpertStack
    private let parts: [String: Part]
    /// The tensors that parts stand in.
    private let stacks: Set<String>

    /// A matrix or bias of one expert.
    private struct Part {
        let info: TensorInfo
        /// Where it stands.
        let tensor: String
        let linear: DecoderDescription.LinearShape
        let expert: Int
        /// Its number among the matrices of its size in the tensor.
        let place: Int
        /// Where its outputs begin in a row of the tensor, and how long the row is, where that has outputs of each input.
        let columns: (first: Int, count: Int)
        let form: Form
    }

    private enum Form {
        case matrix
        case bias
        /// Codes of 4 bits, and the tensor of the exponents.
        case blocks(scales: String)
    }

    /// Finds and checks the parts of a model.
    /// - Throws: `FormatError` for tensors of other shapes than the model asks for.
    package init(
        _ base: any CheckpointReader, _ description: DecoderDescription, stack: ExpertStack
    ) throws(FormatError) {
        var (parts, stacks): ([String: Part], Set<String>) = ([:], [])
        for layer in 0..<description.layers {
            for linear in description.linears(layer: layer) {
                guard let tensor = description.stackTensor(linear, layer: layer),
                    let expert = linear.expert, let mixture = description.shape.mixture
                else { continue }
                func add(
                    _ name: String, _ dtype: DType, _ shape: Shape, _ tensor: String, _ form: Form
                ) throws(FormatError) {
                    parts[name] = Part(
                        info: try TensorInfo(name: name, dtype: dtype, shape: shape),
                        tensor: tensor, linear: linear, expert: expert,
                        place: expert * part.count + part.index,
                        columns: (part.index * linear.outputs, part.count * linear.outputs),
                        form: form)
                    stacks.insert(tensor)
                }
                let part = stack.part(linear)
                precondition(
                    part.count == 1 || !stack.alternates && tensor.bias == nil,
                    "a stack of another form")
                let matrix = Shape(linear.outputs, linear.inputs)
                let name = linear.name + ".weight"
                let blocks = (tensor.weight + "_blocks", tensor.weight + "_scales")
                if let info = base.find(tensor.weight) {
                    try Self.check(
                        info, base,
                        [mixture.experts]
                            + (stack.isTransposed
                                ? [linear.inputs, part.count * linear.outputs]
                                : [part.count * linear.outputs, linear.inputs]))
                    try add(name, info.dtype, matrix, tensor.weight, .matrix)
                } else if part.count == 1, let info = base.find(blocks.0) {
                    guard linear.inputs % 32 == 0 else {
                        throw FormatError(
                            .unsupported,
                            "holds blocks of 32 numbers, which rows of \(linear.inputs) are not made of",
                            path: base.path, tensor: info.name)
                    }
                    let shape = [mixture.experts, linear.outputs, linear.inputs / 32]
                    try Self.check(info, base, shape + [16], .u8)
                    try Self.check(base.tensor(blocks.1), base, shape, .u8)
                    try add(name, .bf16, matrix, blocks.0, .blocks(scales: blocks.1))
                    stacks.insert(blocks.1)
                }
                if let bias = tensor.bias, let info = base.find(bias) {
                    try Self.check(info, base, [mixture.experts, linear.outputs])
                    try add(
                        linear.name + ".bias", info.dtype, Shape(linear.outputs), bias, .bias)
                }
            }
        }
        self.base = base
        self.stack = stack
        self.parts = parts
        self.stacks = stacks
    }

    private static func check(
        _ info: TensorInfo, _ base: any CheckpointReader, _ dims: [Int], _ dtype: DType? = nil
    ) throws(FormatError) {
        guard info.shape.dims == dims else {
            throw FormatError(
                .damaged, "has shape \(info.shape), but the model's config.json asks for \(dims)",
                path: base.path, tensor: info.name)
        }
        guard dtype.map({ $0 == info.dtype }) ?? info.dtype.isFloatingPoint else {
            throw FormatError(
                .unsupported, "holds \(info.dtype.rawValue) numbers, which no experts have",
                path: base.path, tensor: info.name)
        }
    }

    // MARK: CheckpointReader

    package var quantization: StoredQuantization? { base.quantization }

    package var tensors: [TensorInfo] {
        base.tensors.filter { !stacks.contains($0.name) }
            + parts.values.map(\.info).sorted { $0.name < $1.name }
    }

    package func find(_ name: String) -> TensorInfo? {
        parts[name]?.info ?? (stacks.contains(name) ? nil : base.find(name))
    }

    package func releasePages(of name: String) {
        base.releasePages(of: parts[name]?.tensor ?? name)
    }

    package func place(of name: String) -> (path: String, bytes: Range<Int>)? {
        guard let part = parts[name] else { return base.place(of: name) }
        guard isInOrder(part), let place = base.place(of: part.tensor) else { return nil }
        let first = place.bytes.lowerBound + part.place * part.info.byteCount
        return (place.path, first..<first + part.info.byteCount)
    }

    /// Experts that the checkpoint has one by one keep their blocks.
    package func blockType(of name: String) -> GGUFTensorType? {
        guard let part = parts[name] else { return base.blockType(of: name) }
        if case .blocks = part.form { return .mxfp4 }
        return nil
    }

    package func readBlocks(
        _ name: String, rows: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        guard let part = parts[name], case .blocks(let scales) = part.form else {
            return try base.readBlocks(name, rows: rows, into: target)
        }
        let width = part.linear.inputs / 32 * MXFP4.blockBytes
        precondition(target.count == rows.count * width, "size of the target")
        var stored = StoredRow(blocks: part.linear.inputs / 32)
        for (place, row) in rows.enumerated() {
            try read(part, scales, row: row, into: &stored)
            MXFP4.interleave(
                stored,
                into: UnsafeMutableRawBufferPointer(
                    rebasing: target[place * width..<(place + 1) * width]))
        }
    }

    package func withBytes<R>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        guard parts[name] != nil else { return try base.withBytes(of: name, body) }
        return try bytes(of: name).withUnsafeBytes(body)
    }

    package func read(
        _ name: String, bytes range: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        guard let part = parts[name] else {
            return try base.read(name, bytes: range, into: target)
        }
        precondition(target.count == range.count, "\(range.count) bytes into \(target.count)")
        if isInOrder(part) {
            let first = part.place * part.info.byteCount
            return try base.read(
                part.tensor, bytes: first + range.lowerBound..<first + range.upperBound,
                into: target)
        }
        switch part.form {
        case .matrix where stack.isTransposed: try readColumns(part, range, target)
        case .bias: try readBias(part, range, target)
        default: try readRows(part, range, target)
        }
    }

    // MARK: Parts

    /// Whether a part's bytes stand as they are shown.
    private func isInOrder(_ part: Part) -> Bool {
        let permutes = stack.alternates && part.linear.role == .gateUp
        return switch part.form {
        case .matrix: !stack.isTransposed && !permutes
        case .bias: !permutes
        case .blocks: false
        }
    }

    private func readBias(
        _ part: Part, _ range: Range<Int>, _ target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        let width = part.info.dtype.byteWidth
        var whole = [UInt8](repeating: 0, count: part.info.byteCount)
        let first = part.expert * whole.count
        try whole.withUnsafeMutableBufferPointer { (bytes) throws(FormatError) in
            try base.read(
                part.tensor, bytes: first..<first + bytes.count,
                into: UnsafeMutableRawBufferPointer(bytes))
        }
        for (place, byte) in range.enumerated() {
            let stored = stack.place(ofOutput: byte / width, part.linear)
            target[place] = whole[stored * width + byte % width]
        }
    }

    /// The rows that a range of bytes lies in, and the bytes of each that are asked for.
    private func forEachRow(
        _ part: Part, _ range: Range<Int>,
        _ body: (_ row: Int, _ bytes: Range<Int>, _ place: Int) throws(FormatError) -> Void
    ) throws(FormatError) {
        let width = part.linear.inputs * part.info.dtype.byteWidth
        guard width > 0, !range.isEmpty else { return }
        for row in range.lowerBound / width...(range.upperBound - 1) / width {
            let bytes = (row * width..<(row + 1) * width).clamped(to: range)
            try body(
                row, bytes.lowerBound - row * width..<bytes.upperBound - row * width,
                bytes.lowerBound - range.lowerBound)
        }
    }

    /// Rows of matrices that are [outputs][inputs], whose order is another, or which are blocks.
    private func readRows(
        _ part: Part, _ range: Range<Int>, _ target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        let width = part.linear.inputs * part.info.dtype.byteWidth
        var decoded = [UInt16](repeating: 0, count: part.linear.inputs)
        var blocks = StoredRow(blocks: part.linear.inputs / 32)
        try forEachRow(part, range) { (row, bytes, place) throws(FormatError) in
            let goal = UnsafeMutableRawBufferPointer(
                rebasing: target[place..<place + bytes.count])
            guard case .blocks(let scales) = part.form else {
                let first = storedRow(part, row) * width
                return try base.read(
                    part.tensor, bytes: first + bytes.lowerBound..<first + bytes.upperBound,
                    into: goal)
            }
            try read(part, scales, row: row, into: &blocks)
            MXFP4.decode(blocks, into: &decoded)
            decoded.withUnsafeBytes { goal.copyBytes(from: $0[bytes]) }
        }
    }

    /// The row of the tensor that holds a row of a part.
    private func storedRow(_ part: Part, _ row: Int) -> Int {
        part.expert * part.linear.outputs + stack.place(ofOutput: row, part.linear)
    }

    /// Reads the codes and exponents of a row of blocks.
    private func read(
        _ part: Part, _ scales: String, row: Int, into stored: inout StoredRow
    ) throws(FormatError) {
        let place = storedRow(part, row)
        func fill(_ name: String, _ bytes: inout [UInt8]) throws(FormatError) {
            let size = bytes.count
            try bytes.withUnsafeMutableBufferPointer { (target) throws(FormatError) in
                try base.read(
                    name, bytes: place * size..<(place + 1) * size,
                    into: UnsafeMutableRawBufferPointer(target))
            }
        }
        try fill(part.tensor, &stored.codes)
        try fill(scales, &stored.exponents)
    }

    /// Rows of matrices that are [inputs][outputs]: a run of columns of each stored row.
    private func readColumns(
        _ part: Part, _ range: Range<Int>, _ target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        let inputs = part.linear.inputs
        let width = part.info.dtype.byteWidth
        guard !range.isEmpty else { return }
        let (first, last) = (range.lowerBound / width, (range.upperBound - 1) / width)
        let rows = first / inputs...last / inputs
        // The runs of consecutive rows that stand beside each other in the checkpoint, or two apart.
        let stored = rows.map { part.columns.first + stack.place(ofOutput: $0, part.linear) }
        let (low, high) = (stored.min() ?? 0, stored.max() ?? 0)
        var segment = [UInt8](repeating: 0, count: (high - low + 1) * width)
        for input in 0..<inputs {
            let start = ((part.expert * inputs + input) * part.columns.count + low) * width
            try segment.withUnsafeMutableBufferPointer { (bytes) throws(FormatError) in
                try base.read(
                    part.tensor, bytes: start..<start + bytes.count,
                    into: UnsafeMutableRawBufferPointer(bytes))
            }
            let isWhole = range.lowerBound % width == 0 && range.upperBound % width == 0
            for (row, place) in zip(rows, stored) {
                let goal = (row * inputs + input) * width - range.lowerBound
                let source = (place - low) * width
                if isWhole, width == 2, goal >= 0, goal + 2 <= target.count {
                    target.storeBytes(
                        of: segment.withUnsafeBytes {
                            $0.loadUnaligned(fromByteOffset: source, as: UInt16.self)
                        }, toByteOffset: goal, as: UInt16.self)
                    continue
                }
                for byte in 0..<width where goal + byte >= 0 && goal + byte < target.count {
                    target[goal + byte] = segment[source + byte]
                }
            }
        }
    }
}
