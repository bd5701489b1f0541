// SPDX-License-Identifier: Apache-2.0
// A checkpoint in memory, and small helpers of the tests of quantized weights.
import EftFormats
import EftQuant
import EftTensor

/// A checkpoint whose tensors are arrays; the bytes are handed out unaligned on purpose.
struct MemoryCheckpoint: CheckpointReader {
    let path = "memory"
    private(set) var tensors: [TensorInfo] = []
    let opaqueTensors: [OpaqueTensor] = []
    let metadata: [String: String] = [:]
    var quantization: StoredQuantization?
    private var contents: [String: [UInt8]] = [:]

    /// Adds or replaces a tensor.
    mutating func set(_ name: String, _ dtype: DType, _ dims: [Int], _ bytes: [UInt8]) throws {
        let info = try TensorInfo(name: name, dtype: dtype, shape: Shape(checking: dims))
        precondition(info.byteCount == bytes.count, "\(name): \(info.byteCount) != \(bytes.count)")
        remove(name)
        tensors.append(info)
        contents[name] = [0] + bytes
    }

    mutating func set(_ name: String, floats: [Float], _ dims: [Int], as dtype: DType = .f32) throws
    {
        var bytes = [UInt8](repeating: 0, count: floats.count * dtype.byteWidth)
        floats.withUnsafeBufferPointer { values in
            bytes.withUnsafeMutableBytes {
                ElementConversion.encode(values, as: dtype, into: $0)
            }
        }
        try set(name, dtype, dims, bytes)
    }

    /// Copies a tensor of another checkpoint under a name.
    mutating func copy(_ name: String, from source: any CheckpointReader, as target: String) throws
    {
        let info = try source.tensor(name)
        try set(target, info.dtype, info.shape.dims, source.bytes(of: name))
    }

    mutating func add(_ encoded: [EncodedTensor]) throws {
        for tensor in encoded {
            try set(
                tensor.info.name, tensor.info.dtype, tensor.info.shape.dims,
                Array(tensor.bytes.bytes))
        }
    }

    mutating func remove(_ name: String) {
        tensors.removeAll { $0.name == name }
        contents[name] = nil
    }

    func find(_ name: String) -> TensorInfo? { tensors.first { $0.name == name } }

    func read(
        _ name: String, bytes range: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        _ = try tensor(name)
        target.copyBytes(from: (contents[name] ?? [])[1 + range.lowerBound..<1 + range.upperBound])
    }

    func withBytes<R>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
        _ = try tensor(name)
        return try (contents[name] ?? []).withUnsafeBytes {
            try body(UnsafeRawBufferPointer(rebasing: $0.dropFirst()))
        }
    }

    func releasePages(of name: String) {}
}

/// Reproducible numbers in -1...1, a few of them large.
func noise(_ count: Int, seed: UInt64) -> [Float] {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    return (0..<count).map { _ in
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return Float(Int64(bitPattern: state) >> 40) / Float(1 << 23)
    }
}

extension LinearSource {
    /// All values exactly as the format defines them, [N][K].
    func values(outputs: Range<Int>, inputs: Int) throws -> [Float] {
        var result = [Float](repeating: .nan, count: outputs.count * inputs)
        try result.withUnsafeMutableBufferPointer { try dequantize(outputs: outputs, into: $0) }
        return result
    }
}

extension PackedWeight {
    /// All values as the kernels read them, [N][K].
    func values(_ backend: CPUBackend) throws -> [Float] {
        let out = try Matrix(rows: outputs, columns: inputs, ledger: nil)
        backend.gather(self, rows: (0..<Int32(outputs)).map { $0 }, into: out)
        return out.array
    }
}

/// The numbers rounded to a type.
func rounded(_ values: [Float], to dtype: DType) -> [Float] {
    switch dtype {
    case .bf16: values.map { ElementConversion.float(bfloat16: ElementConversion.bfloat16($0)) }
    case .f16: values.map { ElementConversion.float(half: ElementConversion.half($0)) }
    default: values
    }
}

/// [rows][columns] to [columns][rows].
func transposed(_ values: [Float], rows: Int) -> [Float] {
    let columns = values.count / rows
    return (0..<values.count).map { values[$0 % rows * columns + $0 / rows] }
}

/// Bit patterns, with the two zeros taken as one.
func bits(_ values: [Float]) -> [UInt32] { values.map { $0 == 0 ? 0 : $0.bitPattern } }

/// The product x W in f64, x [rows][K] and W' [N][K].
func product(_ x: [Float], _ weight: [Float], inputs: Int) -> [Double] {
    let (rows, outputs) = (x.count / inputs, weight.count / inputs)
    return (0..<rows * outputs).map { index in
        let (row, output) = (index / outputs * inputs, index % outputs * inputs)
        return (0..<inputs).reduce(0.0) { $0 + Double(x[row + $1]) * Double(weight[output + $1]) }
    }
}

/// The largest difference, relative to the largest magnitude of `expected`.
func relativeError(_ actual: [Float], _ expected: [Double]) -> Double {
    let scale = expected.reduce(1e-30) { max($0, abs($1)) }
    return zip(actual, expected).reduce(0) { max($0, abs(Double($1.0) - $1.1)) } / scale
}
