// SPDX-License-Identifier: Apache-2.0
// What every checkpoint format offers: a list of tensors, and their bytes on demand.
import EftGGUF
import EftTensor

/// Name, type and extents of a stored tensor.
package struct TensorInfo: Sendable, Hashable {
    /// The tensor's name in the checkpoint.
    package let name: String
    /// Element type.
    package let dtype: DType
    /// Extents, outermost first.
    package let shape: Shape
    /// Size in bytes: row-major, without gaps.
    package let byteCount: Int

    /// Describes a tensor.
    /// - Throws: `FormatError` (`damaged`) when its size in bytes does not fit in 63 bits.
    package init(name: String, dtype: DType, shape: Shape) throws(FormatError) {
        let (bytes, overflow) = shape.count.multipliedReportingOverflow(by: dtype.byteWidth)
        guard !overflow else {
            throw FormatError(
                .damaged, "shape \(shape) has more bytes than 64 bits can count", tensor: name)
        }
        self.name = name
        self.dtype = dtype
        self.shape = shape
        byteCount = bytes
    }
}

extension Sequence<TensorInfo> {
    /// Bytes of all tensors together.
    /// - Throws: `FormatError` (`damaged`) when they do not fit in 63 bits.
    package func totalByteCount() throws(FormatError) -> Int {
        var total = 0
        for tensor in self {
            let (sum, overflow) = total.addingReportingOverflow(tensor.byteCount)
            guard !overflow else {
                throw FormatError(
                    .damaged, "with those before it, it has more bytes than 64 bits can count",
                    tensor: tensor.name)
            }
            total = sum
        }
        return total
    }
}

/// A stored tensor of an element type that Eft does not compute with; it can be listed but not read.
package struct OpaqueTensor: Sendable, Hashable {
    /// The tensor's name in the checkpoint.
    package let name: String
    /// The element type as the file spells it.
    package let typeName: String
    /// Extents, outermost first.
    package let shape: Shape
    /// Size in bytes.
    package let byteCount: Int
}

/// Read access to a checkpoint in any format; safe to use from any thread.
package protocol CheckpointReader: Sendable {
    /// The file or folder.
    var path: String { get }
    /// The files that hold the tensors.
    var files: [String] { get }
    /// All tensors that can be read, in the order in which they lie in the files.
    var tensors: [TensorInfo] { get }
    /// Tensors whose element type is not supported.
    var opaqueTensors: [OpaqueTensor] { get }
    /// Free text that came with the checkpoint.
    var metadata: [String: String] { get }
    /// What the folder says about the form of quantized weights, where tensors alone do not tell.
    var quantization: StoredQuantization? { get }

    /// The description of a tensor, or nil when the checkpoint has none of that name that can be read.
    func find(_ name: String) -> TensorInfo?

    /// Copies a part of a tensor, counted in bytes of its row-major form; `target` has exactly that size.
    ///
    /// Leaves no mapped pages behind for contiguous tensors.
    /// - Throws: `FormatError`; `missing` for an unknown name, `unsupported` for an opaque tensor.
    func read(
        _ name: String, bytes range: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError)

    /// Gives `body` a tensor's bytes in row-major form, valid only during the call and not aligned to anything.
    ///
    /// The bytes are mapped from the file where the file holds them so; else they are put together in memory.
    func withBytes<R>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R

    /// Gives back the resident pages of a tensor's mapped bytes.
    func releasePages(of name: String)

    /// The file in which a tensor's bytes lie in row-major form, and where; nil where they do not lie so in any file.
    func place(of name: String) -> (path: String, bytes: Range<Int>)?

    /// The type of the blocks that a tensor is stored in, where it is read as the numbers that they stand for.
    func blockType(of name: String) -> GGUFTensorType?

    /// Copies the blocks of some rows of such a tensor as they are stored; `target` has exactly their size.
    /// - Throws: `FormatError`.
    func readBlocks(
        _ name: String, rows: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError)
}

extension CheckpointReader {
    package var files: [String] { [path] }

    package var quantization: StoredQuantization? { nil }

    package func place(of name: String) -> (path: String, bytes: Range<Int>)? { nil }

    package func blockType(of name: String) -> GGUFTensorType? { nil }

    package func readBlocks(
        _ name: String, rows: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        throw FormatError(.unsupported, "is not stored in blocks", path: path, tensor: name)
    }

    /// The description of a tensor.
    /// - Throws: `FormatError`; `missing` for an unknown name, `unsupported` for an opaque tensor.
    package func tensor(_ name: String) throws(FormatError) -> TensorInfo {
        if let info = find(name) { return info }
        if let opaque = opaqueTensors.first(where: { $0.name == name }) {
            throw FormatError(
                .unsupported, "element type \(opaque.typeName) is not supported", path: path,
                tensor: name)
        }
        throw FormatError(.missing, "the checkpoint has no such tensor", path: path, tensor: name)
    }

    /// Copies a whole tensor; `target` has exactly its size.
    package func read(
        _ name: String, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        try read(name, bytes: 0..<tensor(name).byteCount, into: target)
    }

    /// A whole tensor as an array of bytes; for small ones.
    package func bytes(of name: String) throws(FormatError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: try tensor(name).byteCount)
        try bytes.withMutableRawBytes { (buffer) throws(FormatError) in
            try read(name, into: buffer)
        }
        return bytes
    }

    /// Reads elements of a tensor of real numbers as `Float`s; `target` has one place for each.
    /// - Throws: `FormatError`; `unsupported` when the tensor holds no real numbers.
    package func readFloats(
        _ name: String, elements range: Range<Int>, into target: UnsafeMutableBufferPointer<Float>
    ) throws(FormatError) {
        let info = try tensor(name)
        guard info.dtype.isFloatingPoint else {
            throw FormatError(
                .unsupported, "holds \(info.dtype.rawValue) where real numbers are expected",
                path: path, tensor: name)
        }
        precondition(
            range.lowerBound >= 0 && range.upperBound <= info.shape.count
                && target.count == range.count, "elements \(range) of \(info)")
        let width = info.dtype.byteWidth
        // Of a size that the allocator keeps: fresh pages for each call would take longer than the numbers.
        let size = min(range.count * width, 1 << 16)
        var scratch = [UInt8](unsafeUninitializedCapacity: size) { $1 = size }
        let step = max(size / width, 1)
        var done = 0
        while done < range.count {
            let count = min(step, range.count - done)
            let first = (range.lowerBound + done) * width
            try scratch.withMutableRawBytes { (buffer) throws(FormatError) in
                let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(count * width)])
                try read(name, bytes: first..<first + part.count, into: part)
                ElementConversion.decode(
                    UnsafeRawBufferPointer(part), as: info.dtype,
                    into: UnsafeMutableBufferPointer(rebasing: target[done..<done + count]))
            }
            done += count
        }
    }

    /// A whole tensor of real numbers as `Float`s; for small ones.
    package func floats(of name: String) throws(FormatError) -> [Float] {
        let count = try tensor(name).shape.count
        var values = [Float](repeating: 0, count: count)
        try values.withUnsafeMutableBufferPointer { (buffer) throws(FormatError) in
            try readFloats(name, elements: 0..<count, into: buffer)
        }
        return values
    }

    /// Bytes of all tensors together, as they are stored.
    package var byteCount: Int { tensors.reduce(0) { $0 &+ storedBytes(of: $1) } }

    private func storedBytes(of info: TensorInfo) -> Int {
        guard let type = blockType(of: info.name), type.blockSize > 0 else {
            return info.byteCount
        }
        return info.shape.count / type.blockSize * type.blockBytes
    }
}
