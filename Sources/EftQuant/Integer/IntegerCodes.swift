// SPDX-License-Identifier: Apache-2.0
// Where the integers of a weight stand in words of 32 bits, and how to take them out.
import EftFormats

/// The codes of a weight of N outputs and K inputs, of 2 to 8 bits each, as other tools store them.
struct IntegerCodes: Sendable {
    /// How the codes lie in the tensor. Streams of bits begin with the lowest bit of a word.
    enum Order: Sendable, Hashable {
        /// [K bits / 32, N]: each column is a stream of the codes of an output (GPTQ).
        case alongInputs
        /// [K, N / 8]: each row has the codes of an input, of 4 bits; in a word even outputs come before odd ones (AWQ).
        case alongOutputs
        /// [N, K bits / 32]: each row is a stream of the codes of an output (compressed-tensors).
        case rows
        /// [N, K]: signed bytes (compressed-tensors).
        case bytes
    }

    /// The tensor.
    let info: TensorInfo
    /// How the codes lie in it.
    let order: Order
    /// Width of a code.
    let bits: Int
    /// K.
    let inputs: Int
    /// N.
    let outputs: Int

    /// The place of the 4 bits of each output of eight in a word, in AWQ's order.
    static let places: [UInt32] = [0, 4, 1, 5, 2, 6, 3, 7]

    /// Rows of the tensor.
    var rows: Int {
        switch order {
        case .alongInputs: (inputs * bits + 31) / 32
        case .alongOutputs: inputs
        case .rows, .bytes: outputs
        }
    }

    /// Bytes of a row of the tensor.
    var rowBytes: Int {
        switch order {
        case .alongInputs: outputs * 4
        case .alongOutputs: outputs / 8 * 4
        case .rows: (inputs * bits + 31) / 32 * 4
        case .bytes: inputs
        }
    }

    /// Rows of the tensor that hold whole panels, or whole blocks of 32 inputs.
    private var unit: Int {
        switch order {
        case .alongInputs: bits
        case .alongOutputs: 32
        case .rows, .bytes: 16
        }
    }

    /// Rows of the tensor that are read at a time; all of them where inputs stand in another order in memory and a block's
    /// codes are spread over the tensor.
    func runRows(isPermuted: Bool) -> Int {
        if isPermuted && (order == .alongInputs || order == .alongOutputs) { return rows }
        return RowChunks.length(rows: rows, rowBytes: rowBytes, unit: unit)
    }

    /// What some rows of the tensor hold.
    func part(_ rows: Range<Int>) -> Part {
        var (part, all) = (Part(inputs: 0..<inputs, outputs: 0..<outputs, stride: rowBytes), false)
        all = rows == 0..<self.rows
        switch order {
        case .alongInputs where !all:
            part.inputs =
                rows.lowerBound / bits * 32..<min(rows.upperBound / bits * 32, inputs)
            if rows.upperBound == self.rows { part.inputs = part.inputs.lowerBound..<inputs }
        case .alongOutputs: part.inputs = rows
        case .rows, .bytes: part.outputs = rows
        case .alongInputs: break
        }
        return part
    }

    /// A part of the matrix in memory.
    struct Part {
        /// The inputs that it holds.
        var inputs: Range<Int>
        /// The outputs that it holds.
        var outputs: Range<Int>
        /// Bytes from one row of the tensor to the next.
        var stride: Int
    }

    /// Takes the codes of up to 32 inputs and 16 outputs out of a part: `codes[place * 16 + lane]`. Signed bytes count
    /// from -128.
    /// - Parameter input: the input at each of 32 places; places that are nil stay as they are.
    func read(
        _ base: UnsafeRawPointer, _ part: Part, firstOutput: Int, lanes: Int,
        into codes: UnsafeMutablePointer<UInt8>, input: (Int) -> Int?
    ) {
        let mask = UInt32(1) << UInt32(bits) - 1
        let column = firstOutput - part.outputs.lowerBound
        for place in 0..<32 {
            guard let index = input(place) else { continue }
            let input = index - part.inputs.lowerBound
            let target = codes + place * 16
            switch order {
            case .alongInputs:
                let bit = input * bits
                let words = (base + (bit >> 5) * part.stride + column * 4)
                    .assumingMemoryBound(to: UInt32.self)
                let shift = UInt32(bit & 31)
                for lane in 0..<lanes {
                    target[lane] = UInt8(truncatingIfNeeded: words[lane] >> shift & mask)
                }
                guard Int(shift) + bits > 32 else { continue }
                let next = (UnsafeRawPointer(words) + part.stride)
                    .assumingMemoryBound(to: UInt32.self)
                for lane in 0..<lanes {
                    target[lane] |= UInt8(truncatingIfNeeded: next[lane] << (32 - shift) & mask)
                }
            case .alongOutputs:
                let words = (base + input * part.stride).assumingMemoryBound(to: UInt32.self)
                for lane in 0..<lanes {
                    let place = IntegerCodes.places[(column + lane) & 7]
                    target[lane] = UInt8(
                        truncatingIfNeeded: words[(column + lane) >> 3] >> (4 * place) & 15)
                }
            case .rows:
                let (bit, shift) = (input * bits, UInt32(input * bits & 31))
                for lane in 0..<lanes {
                    let words = (base + (column + lane) * part.stride)
                        .assumingMemoryBound(to: UInt32.self)
                    var code = words[bit >> 5] >> shift
                    if Int(shift) + bits > 32 { code |= words[bit >> 5 + 1] << (32 - shift) }
                    target[lane] = UInt8(truncatingIfNeeded: code & mask)
                }
            case .bytes:
                for lane in 0..<lanes {
                    target[lane] =
                        base.load(
                            fromByteOffset: (column + lane) * part.stride + input, as: UInt8.self)
                        ^ 0x80
                }
            }
        }
    }
}
