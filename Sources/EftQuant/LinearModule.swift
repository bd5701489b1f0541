// SPDX-License-Identifier: Apache-2.0
// One linear layer of a checkpoint, and the checks that all stored forms share.
import EftFormats
import EftTensor

/// A linear layer of a checkpoint: its name, and the sizes that the model expects.
package struct LinearModule: Sendable {
    /// The module's name, the prefix of its tensors.
    package let name: String
    /// Where the tensors are.
    package let checkpoint: any CheckpointReader
    /// K, at least 1.
    package let inputs: Int
    /// N, at least 1.
    package let outputs: Int

    /// Names a layer.
    /// - Throws: `FormatError` (`unsupported`) when a size is not positive.
    package init(
        _ name: String, checkpoint: any CheckpointReader, inputs: Int, outputs: Int
    ) throws(FormatError) {
        guard inputs > 0, outputs > 0, checkedProduct([inputs, outputs, 8]) != nil else {
            throw FormatError(
                .unsupported, "a layer of \(inputs) inputs and \(outputs) outputs cannot be held",
                path: checkpoint.path, tensor: name)
        }
        self.name = name
        self.checkpoint = checkpoint
        self.inputs = inputs
        self.outputs = outputs
    }

    /// An error about the tensor `<name>.<suffix>`.
    func error(_ code: FormatError.Code, _ suffix: String, _ message: String) -> FormatError {
        FormatError(code, message, path: checkpoint.path, tensor: "\(name).\(suffix)")
    }

    /// The tensor `<name>.<suffix>`, checked for its type and, where given, its extents.
    /// - Throws: `FormatError`; `missing`, or `damaged` with both shapes or types.
    func tensor(
        _ suffix: String, _ dtype: DType, _ dims: [Int]? = nil
    ) throws(FormatError) -> TensorInfo {
        let info = try checkpoint.tensor("\(name).\(suffix)")
        guard info.dtype == dtype else {
            throw error(
                .damaged, suffix, "holds \(info.dtype.rawValue) where \(dtype.rawValue) is expected"
            )
        }
        if let dims, info.shape.dims != dims {
            throw wrongShape(suffix, found: info.shape.dims, expected: dims)
        }
        return info
    }

    /// The tensor `<name>.<suffix>` of any type of real numbers, checked for its extents.
    /// - Throws: `FormatError`; `missing`, or `damaged` with both shapes or types.
    func realTensor(_ suffix: String, _ dims: [Int]) throws(FormatError) -> TensorInfo {
        let info = try checkpoint.tensor("\(name).\(suffix)")
        guard info.dtype.isFloatingPoint else {
            throw error(
                .damaged, suffix, "holds \(info.dtype.rawValue) where real numbers are expected")
        }
        guard info.shape.dims == dims else {
            throw wrongShape(suffix, found: info.shape.dims, expected: dims)
        }
        return info
    }

    /// The number of groups of inputs that the tensor `<name>.<suffix>` [groups, N] has scales for, or [N, groups].
    /// - Throws: `FormatError`; `missing`, or `damaged` when it is no such matrix.
    func groupCount(_ suffix: String, isByOutput: Bool = false) throws(FormatError) -> Int {
        let dims = try checkpoint.tensor("\(name).\(suffix)").shape.dims
        guard dims.count == 2, dims[isByOutput ? 0 : 1] == outputs,
            (1...max(inputs, 1)).contains(dims[isByOutput ? 1 : 0])
        else {
            throw wrongShape(
                suffix, found: dims, expected: isByOutput ? [outputs, 1] : [1, outputs])
        }
        return dims[isByOutput ? 1 : 0]
    }

    /// An error that names both shapes.
    func wrongShape(_ suffix: String, found: [Int], expected: [Int]) -> FormatError {
        error(
            .damaged, suffix,
            "has shape \(found), but the model's config.json asks for \(expected) "
                + "(\(outputs) outputs of \(inputs) inputs)")
    }

    /// Refuses any target but `.asStored`.
    func requireAsStored(_ target: WeightTarget, scheme: String) throws(FormatError) {
        switch target {
        case .asStored: return
        case .nf4, .int8:
            let (form, key) = target == .int8 ? ("8 bits", "load_in_8bit") : ("NF4", "load_in_4bit")
            throw error(
                .unsupported, "weight",
                "the base is already quantized (\(scheme)) and cannot be quantized to \(form) again; "
                    + "leave \(key) out, or start from the unquantized model")
        case .f32:
            throw error(
                .unsupported, "weight",
                "the base is already quantized (\(scheme)) and cannot be trained in full; train an "
                    + "adapter, or start from the unquantized model")
        }
    }
}

/// Splits a matrix in runs of rows that fit a piece of scratch.
enum RowChunks {
    /// Bytes that a run should take at most.
    static let limit = 8 << 20

    /// Rows in a run: a multiple of `unit`, at least one unit, no more than the matrix needs.
    static func length(rows: Int, rowBytes: Int, unit: Int) -> Int {
        let fitting = limit / max(rowBytes, 1) / unit * unit
        return min(max(fitting, unit), roundUp(rows, to: unit))
    }

    /// The runs, in order; all but the last have `length` rows.
    static func ranges(rows: Int, length: Int) -> [Range<Int>] {
        stride(from: 0, to: rows, by: length).map { $0..<min($0 + length, rows) }
    }
}
