// SPDX-License-Identifier: Apache-2.0
// The parts of a parameter's state, and where they stand in its memory.
import EftFormats
import EftTensor

/// One part of what an optimizer keeps of a parameter.
package struct StatePart: Sendable, Hashable {
    /// How numbers stand.
    package enum Form: Sendable, Hashable {
        case f32
        /// 8-bit codes of bitsandbytes' dynamic map in blocks of 256, each with its largest magnitude in f32.
        case codes(isSigned: Bool)
    }

    /// Its name in checkpoints, PyTorch's where it has one.
    package let name: String
    /// Numbers.
    package let count: Int
    /// How they stand.
    package let form: Form

    /// Numbers in f32.
    package static func f32(_ name: String, _ count: Int) -> StatePart {
        StatePart(name: name, count: count, form: .f32)
    }

    /// A number for each of a parameter: in codes when they are asked for and the parameter is not small.
    package static func each(
        _ name: String, of shape: ParameterShape, coded: Bool, isSigned: Bool = true
    ) -> StatePart {
        // bitsandbytes' bound: what codes lose counts most in small tensors, where they save nothing.
        let codes = coded && shape.numbers >= 4096
        return StatePart(
            name: name, count: shape.storedCount, form: codes ? .codes(isSigned: isSigned) : .f32)
    }

    /// Blocks of codes.
    var blocks: Int { (count + UpdateState.blockSize - 1) / UpdateState.blockSize }
}

/// Where the parts of a state stand: first all numbers in f32, then all codes.
package struct StateLayout: Sendable, Hashable {
    /// A run of numbers of one type, as checkpoints have it.
    package struct Run: Sendable, Hashable {
        /// The part's name, with `.absmax` behind it for the magnitudes of its blocks.
        package let name: String
        /// The type.
        package let dtype: DType
        /// Numbers.
        package let count: Int
        /// The first byte.
        package let offset: Int

        /// Bytes.
        package var byteCount: Int { count * dtype.byteWidth }
    }

    /// The parts.
    package let parts: [StatePart]
    /// All runs, in the order of their places.
    package let runs: [Run]
    /// All bytes.
    package let byteCount: Int

    /// Places parts one behind the other.
    package init(_ parts: [StatePart]) {
        self.parts = parts
        var (runs, end) = ([Run](), 0)
        func add(_ name: String, _ dtype: DType, _ count: Int) {
            runs.append(Run(name: name, dtype: dtype, count: count, offset: end))
            end += count * dtype.byteWidth
        }
        for part in parts {
            switch part.form {
            case .f32: add(part.name, .f32, part.count)
            case .codes: add(part.name + Self.scales, .f32, part.blocks)
            }
        }
        for part in parts where part.form != .f32 { add(part.name, .u8, part.count) }
        self.runs = runs
        byteCount = end
    }

    fileprivate static let scales = ".absmax"

    /// Where a run begins.
    fileprivate func offset(_ name: String) -> Int? { runs.first { $0.name == name }?.offset }
}

/// The state of a parameter in memory.
package struct ParameterState {
    /// The memory; may be larger.
    package let buffer: Buffer
    /// Where the parts stand.
    package let layout: StateLayout

    /// A part for the kernels; nil when the state has none of this name.
    package subscript(name: String) -> UpdateState? {
        guard let part = layout.parts.first(where: { $0.name == name }),
            let offset = layout.offset(name)
        else { return nil }
        guard case .codes(let isSigned) = part.form else {
            return UpdateState(buffer: buffer, offset: offset)
        }
        return UpdateState(
            buffer: buffer, offset: offset,
            codes: (layout.offset(name + StateLayout.scales) ?? 0, isSigned))
    }

    /// The numbers of an f32 part as one row; an empty row when the state has none of this name.
    package func row(_ name: String) -> Matrix {
        guard let run = layout.runs.first(where: { $0.name == name && $0.dtype == .f32 }) else {
            return Matrix(sharing: buffer, rows: 1, columns: 0)
        }
        return Matrix(sharing: buffer, offset: run.offset / 4, rows: 1, columns: run.count)
    }
}
