// SPDX-License-Identifier: Apache-2.0
// The head of a GGUF file: settings, and where each tensor lies.

/// Puts the head of a GGUF file (version 3, little-endian) together.
package struct GGUFHeaderWriter {
    /// A value of the settings.
    package enum Value {
        case whole(Int)
        case real(Double)
        case truth(Bool)
        case text([UInt8])
        case texts([[UInt8]])
        case wholes([Int32])
        case reals([Float])
        case truths([Bool])
    }

    /// A tensor that is to lie in the file.
    package struct Tensor: Sendable, Hashable {
        /// Its name in llama.cpp's form.
        package let name: String
        /// Extents, outermost first.
        package let dims: [Int]
        /// How its numbers are stored.
        package let type: GGUFTensorType

        /// Describes a tensor, whose rows are whole blocks.
        package init(name: String, dims: [Int], type: GGUFTensorType) {
            precondition((dims.last ?? 1) % type.blockSize == 0, "rows of \(name) are whole blocks")
            self.name = name
            self.dims = dims
            self.type = type
        }

        /// Bytes of its numbers.
        package var byteCount: Int {
            dims.reduce(1, *) / type.blockSize * type.blockBytes
        }
    }

    /// What tensors are aligned to.
    package static let alignment = 32

    private var settings: [UInt8] = []
    private var settingCount = 0

    /// Makes a head without settings.
    package init() {}

    /// Adds a setting.
    package mutating func set(_ key: String, _ value: Value) {
        settingCount += 1
        append(text: Array(key.utf8))
        switch value {
        case .whole(let number):
            if let short = UInt32(exactly: number) {
                append(GGUFValueType.u32.rawValue)
                append(short)
            } else {
                append(GGUFValueType.i64.rawValue)
                append(Int64(number))
            }
        case .real(let number):
            append(GGUFValueType.f32.rawValue)
            append(Float(number).bitPattern)
        case .truth(let truth):
            append(GGUFValueType.bool.rawValue)
            append(UInt8(truth ? 1 : 0))
        case .text(let text):
            append(GGUFValueType.string.rawValue)
            append(text: text)
        case .texts(let texts):
            append(list: .string, texts.count)
            for text in texts { append(text: text) }
        case .wholes(let numbers):
            append(list: .i32, numbers.count)
            for number in numbers { append(number) }
        case .reals(let numbers):
            append(list: .f32, numbers.count)
            for number in numbers { append(number.bitPattern) }
        case .truths(let truths):
            append(list: .bool, truths.count)
            for truth in truths { append(UInt8(truth ? 1 : 0)) }
        }
    }

    private mutating func append<Number: FixedWidthInteger>(_ number: Number) {
        withUnsafeBytes(of: number.littleEndian) { settings.append(contentsOf: $0) }
    }

    private mutating func append(text: [UInt8]) {
        append(UInt64(text.count))
        settings.append(contentsOf: text)
    }

    private mutating func append(list element: GGUFValueType, _ count: Int) {
        append(GGUFValueType.array.rawValue)
        append(element.rawValue)
        append(UInt64(count))
    }

    /// The next place where a tensor may begin.
    package static func aligned(_ place: Int) -> Int {
        (place + alignment - 1) / alignment * alignment
    }

    /// The bytes before the first tensor's; the tensors follow in their order, each aligned.
    package func bytes(_ tensors: [Tensor]) -> [UInt8] {
        var head = GGUFHeaderWriter()
        head.settings = Array("GGUF".utf8)
        head.append(UInt32(3))
        head.append(UInt64(tensors.count))
        head.append(UInt64(settingCount))
        head.settings += settings
        var place = 0
        for tensor in tensors {
            head.append(text: Array(tensor.name.utf8))
            head.append(UInt32(tensor.dims.count))
            for extent in tensor.dims.reversed() { head.append(UInt64(extent)) }
            head.append(tensor.type.rawValue)
            head.append(UInt64(place))
            place = GGUFHeaderWriter.aligned(place + tensor.byteCount)
        }
        let padding = GGUFHeaderWriter.aligned(head.settings.count) - head.settings.count
        return head.settings + [UInt8](repeating: 0, count: padding)
    }
}
