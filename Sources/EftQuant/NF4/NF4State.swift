// SPDX-License-Identifier: Apache-2.0
// The JSON of `<module>.weight.quant_state.bitsandbytes__nf4`, and of `__fp4`.
import EftConfig
import EftFormats
import EftTensor

/// What bitsandbytes says about a 4-bit weight, in the order of its keys.
package struct NF4State: Sendable, Hashable {
    /// How the scales were quantized a second time.
    package struct Nested: Sendable, Hashable {
        /// Scales in a block.
        package let blockSize: Int
        /// The mean that was subtracted from all scales.
        package let offset: Float

        /// Describes a second quantization.
        package init(blockSize: Int, offset: Float) {
            self.blockSize = blockSize
            self.offset = offset
        }
    }

    /// Whether codes are those of FP4, and not of NF4.
    package let isFP4: Bool
    /// Numbers in a block: a multiple of 32 up to 4096.
    package let blockSize: Int
    /// The type of the weight before quantization.
    package let dtype: DType
    /// N and K.
    package let shape: [Int]
    /// The second quantization, when there is one.
    package let nested: Nested?

    /// Describes a weight.
    package init(
        blockSize: Int, dtype: DType, shape: [Int], nested: Nested?, isFP4: Bool = false
    ) {
        self.isFP4 = isFP4
        self.blockSize = blockSize
        self.dtype = dtype
        self.shape = shape
        self.nested = nested
    }

    private static let types: [(name: String, dtype: DType)] = [
        ("float32", .f32), ("float16", .f16), ("bfloat16", .bf16),
    ]

    /// Reads the JSON text.
    /// - Throws: `ConfigError` with the key.
    package init(json: [UInt8]) throws(ConfigError) {
        let top = ConfigCursor(try JSONParser.parse(json, maximumDepth: 8))
        let kind = try top.required("quant_type")
        let name = try kind.string()
        guard name == "nf4" || name == "fp4" else {
            throw kind.error(.badValue, "nf4 and fp4 are read, not \(excerpt(name))")
        }
        isFP4 = name == "fp4"
        let size = try top.required("blocksize")
        blockSize = try size.int()
        guard blockSize % 32 == 0, (32...4096).contains(blockSize) else {
            throw size.error(
                .badValue, "a block of \(blockSize); multiples of 32 from 32 to 4096 are read")
        }
        let type = try top.required("dtype")
        let typeName = try type.string()
        guard let match = NF4State.types.first(where: { $0.name == typeName }) else {
            throw type.error(
                .badValue, "'\(typeName)'; float32, float16 and bfloat16 are read")
        }
        dtype = match.dtype
        shape = try top.required("shape").elements().map { (item) throws(ConfigError) in
            try item.int()
        }
        nested = try NF4State.nested(top)
    }

    private static func nested(_ top: ConfigCursor) throws(ConfigError) -> Nested? {
        guard let size = try top.optional("nested_blocksize") else { return nil }
        let blockSize = try size.int()
        guard (1...65536).contains(blockSize) else {
            throw size.error(.badValue, "a block of \(blockSize) scales")
        }
        let type = try top.required("nested_dtype")
        guard try type.string() == "float32" else {
            throw type.error(.badValue, "only float32 is read")
        }
        let offset = try top.required("nested_offset")
        let value = Float(try offset.double())
        guard value.isFinite else { throw offset.error(.badValue, "not a finite number") }
        return Nested(blockSize: blockSize, offset: value)
    }

    /// The JSON text, byte for byte as bitsandbytes writes it.
    package var json: String {
        let name = NF4State.types.first { $0.dtype == dtype }?.name ?? "float32"
        var text = """
            {"quant_type": "\(isFP4 ? "fp4" : "nf4")", "blocksize": \(blockSize), "dtype": "\(name)", \
            "shape": [\(shape.map(String.init).joined(separator: ", "))]
            """
        if let nested {
            text += """
                , "nested_blocksize": \(nested.blockSize), "nested_dtype": "float32", \
                "nested_offset": \(Double(nested.offset))
                """
        }
        return text + "}"
    }
}
