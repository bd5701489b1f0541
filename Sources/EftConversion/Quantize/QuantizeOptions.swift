// SPDX-License-Identifier: Apache-2.0
// How a model is to be quantized, and what that needs.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor

/// Options of a quantization to EXL2.
package struct QuantizeOptions: Sendable, Hashable {
    /// Width of the decoder's linear layers: 2, 3, 4, 5, 6 or 8.
    package var bits: Int
    /// Width of the head, as the format's options for heads name it.
    package var headBits: Int
    /// Calibration rows at most.
    package var rows: Int
    /// Tokens of a calibration row.
    package var length: Int
    /// Bytes of a shard at most.
    package var maxShardBytes: Int
    /// Whether an earlier job in the work folder is thrown away.
    package var startsAnew: Bool
    /// What positions are divided by, and NTK's alpha, for a model that is to be used so.
    package var ropeScale: Double?
    package var ropeAlpha: Double?

    /// Makes options with the defaults of the field's tool.
    package init(
        bits: Int = 4, headBits: Int = 6, rows: Int = 100, length: Int = 2048,
        maxShardBytes: Int = 8192 << 20, startsAnew: Bool = false
    ) {
        self.bits = bits
        self.headBits = headBits
        self.rows = rows
        self.length = length
        self.maxShardBytes = maxShardBytes
        self.startsAnew = startsAnew
    }

    /// Refuses widths that the format does not have.
    /// - Throws: `ConversionError` (`usage`).
    package func check() throws(ConversionError) {
        guard EXL2Geometry.uniformWidths.contains(bits) else {
            throw ConversionError(.usage, "-b \(bits): a width of 2, 3, 4, 5, 6 or 8 bits is made")
        }
        guard EXL2Geometry.headWidths.contains(headBits) else {
            throw ConversionError(
                .usage, "-hb \(headBits): a head can have 2, 3, 4, 5, 6 or 8 bits")
        }
        guard rows > 0, length > 1, maxShardBytes > 0 else {
            throw ConversionError(.usage, "-r, -l and -ss must be positive")
        }
    }
}

/// The linear layers of a model as they are quantized, and the memory that it takes.
struct QuantizePlan {
    let description: DecoderDescription
    let options: QuantizeOptions

    /// Calibration rows whose unquantized values are kept to tell a layer's error, and that tell the perplexity.
    static let reportRows = 4

    /// Checks options and extents.
    /// - Throws: `ConversionError` for widths and extents that EXL2 does not have.
    init(_ description: DecoderDescription, _ options: QuantizeOptions) throws(ConversionError) {
        try options.check()
        guard description.shape.mixture == nil else {
            throw ConversionError(
                .unsupported,
                "mixtures of experts are not quantized to EXL2 yet; hold the model in NF4, or in an EXL2 "
                    + "folder made elsewhere")
        }
        self.description = description
        self.options = options
        for linear in description.linears(layer: 0) where linear.inputs % 32 != 0 {
            throw QuantizePlan.unfit(linear.name, linear.inputs)
        }
        guard description.shape.hidden % 32 == 0 else {
            throw QuantizePlan.unfit(description.headName, description.shape.hidden)
        }
    }

    private static func unfit(_ name: String, _ inputs: Int) -> ConversionError {
        ConversionError(
            .unsupported, "EXL2 holds layers of a multiple of 32 inputs, this one has \(inputs)",
            tensor: name)
    }

    /// A layer's target.
    func target(_ linear: DecoderDescription.LinearShape) -> LinearQuantizer.Target {
        LinearQuantizer.Target(
            name: linear.name, source: linear.name, inputs: linear.inputs,
            outputs: linear.outputs, hasBias: linear.hasBias,
            groups: EXL2Geometry.uniform(bits: options.bits, inputs: linear.inputs) ?? [])
    }

    /// The head's target; a tied head is made from the embedding.
    var head: LinearQuantizer.Target {
        let inputs = description.shape.hidden
        let sections = EXL2Geometry.head(bits: options.headBits) ?? []
        return LinearQuantizer.Target(
            name: description.headName,
            source: description.tiedEmbeddings ? description.embeddingName : description.headName,
            inputs: inputs, outputs: description.vocabulary, hasBias: false,
            groups: EXL2Geometry.groups(inputs: inputs, sections: sections) ?? [])
    }

    /// The linear layers that share inputs, in the order of the computation.
    static let siblings: [[DecoderDescription.Role]] = [
        [.query, .key, .value], [.output], [.gate, .up], [.down],
    ]

    /// Weights of all linear layers and the head.
    var weightCount: Int {
        description.linearWeightCount + description.shape.hidden * description.vocabulary
    }

    // MARK: Memory

    /// Scratch of all products that rows of `length` tokens go through.
    func scratchBytes(stored dtype: DType, length: Int, on backend: CPUBackend) -> Int {
        var layouts: Set<WeightLayout> = []
        for linear in description.linears(layer: 0) {
            layouts.insert(
                DenseScheme.layout(
                    stored: dtype, as: .asStored, inputs: linear.inputs, outputs: linear.outputs))
            layouts.insert(EXL2Table(target(linear).groups).layout(outputs: linear.outputs))
        }
        let head = EXL2Table(head.groups).layout(outputs: description.vocabulary)
        let headRows = LossHead.chunkRows(vocabulary: description.vocabulary, rows: length)
        let scratch = DecoderScratch(
            linears: layouts, head: head, rows: length, headRows: headRows)
        let backends = BlockRunner.backends(backend)
        return max(
            scratch.byteCount(on: backends.observing), scratch.byteCount(on: backends.carrying))
    }

    /// What the linear-algebra library takes by itself.
    func linearAlgebraBytes(on backend: CPUBackend) -> Int {
        let size = description.linears(layer: 0).map(\.inputs).max() ?? 0
        return LinearAlgebra.workspaceBytes(threads: backend.threads, size: size)
    }

    /// Most bytes that the job takes, by purpose: the neediest moment.
    /// - Parameters:
    ///   - dtype: the type of the stored weights.
    ///   - tokens: tokens of calibration; all rows full when nil.
    func memory(stored dtype: DType, tokens: Int?, on backend: CPUBackend) -> MemoryTable {
        let length = min(options.length, tokens ?? options.length)
        let all = tokens ?? options.rows * options.length
        let hidden = description.shape.hidden
        let kept = min(all, QuantizePlan.reportRows * length)
        let fixed = MemoryTable([
            .activations: (all + kept) * hidden * 4
                + BlockRunner.byteCount(description, length: length),
            .workspace: scratchBytes(stored: dtype, length: length, on: backend)
                + linearAlgebraBytes(on: backend),
        ])
        let quantizing =
            (layerMoments(stored: dtype, length: length, threads: backend.threads)
            + headMoments(length: length, threads: backend.threads)).map { fixed + $0 }
        // Pieces of the base and of a quantized tensor on their way to the output, beside the products' scratch.
        let writing = MemoryTable([
            .window: 2 * TensorCaster.byteCount,
            .workspace: scratchBytes(stored: dtype, length: length, on: backend),
        ])
        return (quantizing + [writing]).max { $0.total < $1.total } ?? fixed
    }

    /// What stands beside the fixed part while a layer is worked on.
    private func layerMoments(
        stored dtype: DType, length: Int, threads: Int
    ) -> [MemoryTable] {
        let linears = description.linears(layer: 0)
        func inputs(_ roles: [DecoderDescription.Role]) -> Int {
            roles.first.map { description.linear($0, layer: 0).inputs } ?? 0
        }
        var hessians = QuantizePlan.siblings.reduce(0) { $0 + Hessian.byteCount(inputs($1)) }
        let dense = linears.reduce(0) {
            $0
                + DenseScheme.layout(
                    stored: dtype, as: .asStored, inputs: $1.inputs, outputs: $1.outputs
                ).byteCount
        }
        let vectors = description.vectorBytes / max(description.layers, 1) + 4096
        let scrap = length * description.shape.hidden * 4
        var moments = [
            MemoryTable([
                .weights: dense + vectors, .workspace: hessians, .activations: scrap,
            ])
        ]
        for roles in QuantizePlan.siblings {
            let most = roles.map { role in
                let target = target(description.linear(role, layer: 0))
                return LinearQuantizer.byteCount(
                    inputs: target.inputs, outputs: target.outputs, groups: target.groups,
                    threads: threads)
            }.max()
            moments.append(MemoryTable([.workspace: hessians + (most ?? 0)]))
            hessians -= Hessian.byteCount(inputs(roles))
        }
        return moments
    }

    private func headMoments(length: Int, threads: Int) -> [MemoryTable] {
        let head = head
        let rows = length * description.shape.hidden * 4
        let quantizing = LinearQuantizer.byteCount(
            inputs: head.inputs, outputs: head.outputs, groups: head.groups, threads: threads)
        let layout = EXL2Table(head.groups).layout(outputs: head.outputs)
        let losses = LossHead.byteCount(vocabulary: description.vocabulary, rows: length)
        return [
            MemoryTable([
                .activations: rows, .workspace: Hessian.byteCount(head.inputs) + quantizing,
            ]),
            MemoryTable([.activations: rows + losses, .weights: layout.byteCount]),
        ]
    }
}
