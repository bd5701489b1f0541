// SPDX-License-Identifier: Apache-2.0
// One linear layer from its stored weight to its quantized tensors on the disk.
import CEftKernels
import EftFormats
import EftModels
import EftQuant
import EftTensor

/// Quantizes linear layers one at a time, and writes each to a file of its own.
package struct LinearQuantizer {
    /// A layer to quantize.
    package struct Target {
        /// The path of the quantized layer.
        package let name: String
        /// The path of the stored weight; another one for a tied head.
        package let source: String
        /// K.
        package let inputs: Int
        /// N.
        package let outputs: Int
        /// Whether a bias is stored beside the weight.
        package let hasBias: Bool
        /// Groups of any mixture of widths that cover the inputs.
        package let groups: [EXL2Group]

        /// Describes a layer.
        package init(
            name: String, source: String, inputs: Int, outputs: Int, hasBias: Bool,
            groups: [EXL2Group]
        ) {
            self.name = name
            self.source = source
            self.inputs = inputs
            self.outputs = outputs
            self.hasBias = hasBias
            self.groups = groups
        }
    }

    /// The unquantized weights.
    package let checkpoint: any CheckpointReader
    let folder: String
    let recipe: QuantizerRecipe
    let backend: CPUBackend

    /// Prepares to quantize the layers of `checkpoint` into files in `folder`.
    package init(
        checkpoint: any CheckpointReader, folder: String, recipe: QuantizerRecipe = .exllamav2,
        backend: CPUBackend
    ) {
        self.checkpoint = checkpoint
        self.folder = folder
        self.recipe = recipe
        self.backend = backend
    }

    /// Most numbers of a run of outputs while weights are read.
    private static let runCount = 1 << 20

    /// Most bytes that quantizing a layer takes besides its Hessian, under `.workspace`.
    /// - Parameters:
    ///   - adjusting: whether weights make up for what came before, so that codes are sought for others than those stored.
    ///   - reading: bytes that reading stored weights takes for a while.
    package static func byteCount(
        inputs: Int, outputs: Int, groups: [EXL2Group], recipe: QuantizerRecipe,
        adjusting: Bool = false, reading: Int = 0, threads: Int
    ) -> Int {
        let weights = inputs * outputs * 4
        let table = EXL2Table(groups)
        let run = runBytes(inputs: inputs, outputs: outputs)
        let gptq = GPTQ.byteCount(table: table, outputs: outputs, threads: threads)
        let packing =
            recipe.scales == .own
            ? GPTQPacker.byteCount(table: table, outputs: outputs)
            : EXL2Packer.byteCount(table: table, outputs: outputs)
        // Scales are searched for while no run of outputs is held.
        let searching = GPTQ.searchByteCount(table: table, outputs: outputs, threads: threads)
        let descent = CodeDescent.byteCount(
            table: table, outputs: outputs, scaleBytes: recipe.scaleBytes, threads: threads)
        let (kept, block) = recipe.descents > 0 ? (descent.kept, descent.block) : (0, 0)
        // The energy of the weights is found before there are codes, the products of the descent need no copy.
        let solving = TriangularProducts.byteCount(size: inputs, columns: outputs)
        let multiplying = TriangularProducts.byteCount(
            size: inputs, columns: outputs, copiesRows: false)
        let held = weights + gptq + packing + kept
        let direct = max(
            weights + gptq + solving,
            held + max(searching, block + max(run + reading, multiplying)))
        guard adjusting else { return direct }
        // Once weights were adjusted, a copy of what was aimed at stands beside them, and those stored are not read again.
        let change = CrossHessian.adjustingByteCount(inputs: inputs, outputs: outputs)
        return max(
            direct, weights + gptq + change + solving,
            held + weights + max(run, searching, block + multiplying))
    }

    /// The file of a layer, in the quantizer's folder or another one.
    package func path(_ name: String, in folder: String? = nil) -> String {
        FileSystem.join(folder ?? self.folder, name + ".safetensors")
    }

    /// Quantizes a layer, writes it, reads it back and compares.
    /// - Parameters:
    ///   - hessian: of the layer's inputs, factored.
    ///   - cross: how these inputs differ from the unquantized model's, in the Hessian's order, for weights that make up
    ///     for it; errors then count from those weights.
    ///   - share: how far weights go to make up, 1 all the way.
    ///   - folder: where the file goes; the quantizer's folder when nil.
    /// - Throws: `ConversionError`, `FormatError`, `TensorError`.
    package func quantize(
        _ target: Target, hessian: Hessian, cross: CrossHessian? = nil, share: Float = 1,
        folder: String? = nil
    ) throws -> QuantizeReport.Linear {
        try naming(target) {
            try quantizeChecked(
                target, hessian, folder: folder ?? self.folder,
                adjust: cross.map { cross in
                    { try cross.adjust($0, share: share, hessian: hessian, backend: backend) }
                })
        }
    }

    /// Names the layer in errors that do not say which tensor they are about.
    func naming<Result>(_ target: Target, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as ConversionError where error.tensor == nil {
            throw ConversionError(
                error.code, error.message, path: error.path ?? checkpoint.path, tensor: target.name)
        }
    }

    private func quantizeChecked(
        _ target: Target, _ hessian: Hessian, folder: String,
        adjust: ((Matrix) throws -> Void)?
    ) throws -> QuantizeReport.Linear {
        let table = EXL2Table(target.groups)
        let source = try source(target)
        let rounding = try roundingError(target, source, table, hessian)
        let weights = try matrix(target)
        let gptq = try GPTQ(
            weights: weights, table: table, recipe: recipe, backend: backend)
        try load(source, target, hessian.places, into: weights)
        let norm = try hessian.energy(weights, backend: backend)
        try load(source, target, hessian.places, into: weights)
        var wanted: Matrix?
        if let adjust {
            try adjust(weights)
            wanted = try matrix(target)
            wanted?.pointer.update(from: weights.pointer, count: weights.count)
        }
        let packer = try packer(table, target, hessian)
        let result = try gptq.quantize(
            factor: hessian.values, into: packer,
            refine: try descent(target, source, weights, wanted, table, hessian))
        try write(target, packer, permutation: hessian.permutation, folder)
        var change = try verify(
            target, source, weights, hessian.places, path: path(target.name, in: folder))
        if let wanted { change = squaredChanges(wanted, weights).reduce(0, +) }
        let error = max(result.energy - hessian.damp * change, 0)
        return QuantizeReport.Linear(
            name: target.name, inputs: target.inputs, outputs: target.outputs,
            bitsPerWeight: Double(storedBits(target)) / Double(target.inputs * target.outputs),
            error: norm > 0 ? error / norm : 0, roundingError: rounding)
    }

    /// Outputs on which plain rounding is tried.
    private static let sampleOutputs = 128

    /// The share of the output's energy that plain rounding would lose, of some outputs in the middle.
    private func roundingError(
        _ target: Target, _ source: LinearSource, _ table: EXL2Table, _ hessian: Hessian
    ) throws -> Double {
        let count = min(target.outputs, LinearQuantizer.sampleOutputs)
        let first = (target.outputs - count) / 2
        let sample = try Matrix(
            rows: target.inputs, columns: count, ledger: backend.ledger, purpose: .workspace)
        func load() throws {
            try self.load(
                source, target, hessian.places, outputs: first..<first + count, into: sample)
        }
        try load()
        let norm = try hessian.energy(sample, backend: backend)
        try load()
        try GPTQ(weights: sample, table: table, recipe: recipe, backend: backend)
            .replaceByRoundingErrors()
        let lost = try hessian.energy(sample, backend: backend)
        return norm > 0 ? lost / norm : 0
    }

    private func packer(
        _ table: EXL2Table, _ target: Target, _ hessian: Hessian
    ) throws(TensorError) -> any LinearPacker {
        recipe.scales == .own
            ? try GPTQPacker(
                table: table, outputs: target.outputs, permutation: hessian.permutation,
                ledger: backend.ledger)
            : try EXL2Packer(table: table, outputs: target.outputs, ledger: backend.ledger)
    }

    private func storedBits(_ target: Target) -> Int {
        recipe.scales == .own
            ? GPTQPacker.storedBits(
                table: EXL2Table(target.groups), outputs: target.outputs, bias: target.hasBias)
            : EXL2Geometry.storedBits(
                groups: target.groups, inputs: target.inputs, outputs: target.outputs,
                bias: target.hasBias)
    }

    /// The file of a layer that was quantized.
    /// - Throws: `FormatError`.
    func written(_ path: String) throws -> any CheckpointReader {
        let file = try SafetensorsFile(path: path)
        return recipe.scales == .own ? QuantizedCheckpoint(file, GPTQPacker.form) : file
    }

    /// What lowers the loss of GPTQ's result further; nil where the recipe does without.
    private func descent(
        _ target: Target, _ source: LinearSource, _ weights: Matrix, _ wanted: Matrix?,
        _ table: EXL2Table, _ hessian: Hessian
    ) throws -> GPTQ.Refinement? {
        guard recipe.descents > 0 else { return nil }
        let descent = CodeDescent(
            hessian: hessian, table: table, passes: recipe.descents, isExact: recipe.isExact,
            backend: backend)
        let bytes = CodeDescent.byteCount(
            table: table, outputs: target.outputs, scaleBytes: recipe.scaleBytes,
            threads: backend.threads)
        let kept = try LedgerEntry(bytes.kept, ledger: backend.ledger, purpose: .workspace)
        return { scales in
            defer { withExtendedLifetime(kept) {} }
            return try descent.run(weights, scales) { outputs, block in
                guard let wanted else {
                    return try load(
                        source, target, hessian.places, outputs: outputs, into: block)
                }
                for row in 0..<block.rows {
                    (block.pointer + row * block.columns).update(
                        from: wanted.pointer + row * wanted.columns + outputs.lowerBound,
                        count: block.columns)
                }
            }
        }
    }

    /// Memory for weights `[K][N]`.
    func matrix(_ target: Target) throws(TensorError) -> Matrix {
        try Matrix(
            rows: target.inputs, columns: target.outputs, ledger: backend.ledger,
            purpose: .workspace)
    }

    /// The layer's weight as it is stored.
    func source(_ target: Target) throws -> LinearSource {
        try LinearSource(
            module: target.source, checkpoint: checkpoint, inputs: target.inputs,
            outputs: target.outputs)
    }

    /// Bytes of the numbers of a run of outputs.
    static func runBytes(inputs: Int, outputs: Int) -> Int {
        min(max(runCount / inputs, 1), outputs) * inputs * 4
    }

    private func runs(_ target: Target, of outputs: Range<Int>? = nil) -> [Range<Int>] {
        let length = min(max(LinearQuantizer.runCount / target.inputs, 1), target.outputs)
        let all = outputs ?? 0..<target.outputs
        return stride(from: all.lowerBound, to: all.upperBound, by: length).map {
            $0..<min($0 + length, all.upperBound)
        }
    }

    private func run(_ target: Target) throws(TensorError) -> Matrix {
        try Matrix(
            rows: runs(target).first?.count ?? 0, columns: target.inputs, ledger: backend.ledger,
            purpose: .workspace)
    }

    /// Reads a weight `[N][K]` as `[K][N]`, inputs in stored order.
    /// - Parameter wanted: some of the outputs; all when nil.
    func load(
        _ source: LinearSource, _ target: Target, _ places: [UInt32],
        outputs wanted: Range<Int>? = nil, into weights: Matrix
    ) throws {
        let run = try run(target)
        let first = wanted?.lowerBound ?? 0
        for outputs in runs(target, of: wanted) {
            let count = outputs.count * target.inputs
            try source.dequantize(
                outputs: outputs,
                into: UnsafeMutableBufferPointer(start: run.pointer, count: count))
            guard backend.allFinite(count: count, run.pointer, .f32) else {
                throw ConversionError(.numbers, Numbers.stored)
            }
            eft_transpose_ordered(
                backend.context, outputs.count, target.inputs, run.pointer, places,
                weights.pointer + outputs.lowerBound - first, weights.columns)
        }
    }

    private func write(
        _ target: Target, _ packer: any LinearPacker, permutation: [UInt32], _ folder: String
    ) throws {
        var bias: [UInt16]?
        if target.hasBias {
            let buffer = try VectorSource.load(
                target.source + ".bias", count: target.outputs, checkpoint: checkpoint,
                ledger: backend.ledger, purpose: .workspace)
            bias = (0..<target.outputs).map { ElementConversion.half(buffer.floats[$0]) }
            guard bias?.allSatisfy({ $0 & 0x7C00 != 0x7C00 }) ?? true else {
                throw ConversionError(.numbers, "the bias is too large for f16")
            }
        }
        let tensors = try packer.tensors(
            module: target.name, permutation: permutation, bias: bias, workers: backend)
        let writer = try SafetensorsWriter(
            folder: folder, baseName: target.name, tensors: tensors.map(\.info),
            maxShardBytes: .max)
        for tensor in tensors {
            try writer.write(tensor.info.name, UnsafeRawBufferPointer(tensor.bytes.bytes))
        }
        try writer.finish()
    }

    /// Compares what was written with the values that GPTQ went on with; returns the sum of squares of all changes.
    private func verify(
        _ target: Target, _ source: LinearSource, _ weights: Matrix, _ places: [UInt32],
        path: String
    ) throws -> Double {
        let file = try written(path)
        let written = try LinearSource(
            module: target.name, checkpoint: file, inputs: target.inputs, outputs: target.outputs)
        let run = try run(target)
        var change = 0.0
        for outputs in runs(target) {
            let values = UnsafeMutableBufferPointer(
                start: run.pointer, count: outputs.count * target.inputs)
            var changes = [Double](repeating: 0, count: outputs.count)
            func compare() -> Double {
                eft_squared_changes(
                    backend.context, outputs.count, target.inputs, run.pointer, places,
                    weights.pointer + outputs.lowerBound, target.outputs, &changes)
                return changes.reduce(0, +)
            }
            try written.dequantize(outputs: outputs, into: values)
            guard compare() == 0 else {
                throw ConversionError(
                    .damaged, "the packed weight does not decode to what was packed",
                    path: file.path)
            }
            try source.dequantize(outputs: outputs, into: values)
            change += compare()
        }
        return change
    }
}
