// SPDX-License-Identifier: Apache-2.0
// What a quantization holds in memory, at its neediest moment.
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor

extension QuantizePlan {
    /// Scratch of all products that rows of `length` tokens go through.
    /// - Parameter headRows: of these, how many the head sees at once.
    func scratchBytes(stored dtype: DType, length: Int, on backend: CPUBackend) -> Int {
        var layouts: Set<WeightLayout> = []
        for linear in description.distinctLinears {
            layouts.insert(dense(dtype, linear))
            guard !linear.role.isRouter else { continue }
            // Any of the widths may come; scratch grows with the width of a code.
            layouts.insert(layout(target(linear)))
        }
        let head = quantizesHead ? layout(head) : denseHead(dtype)
        let headRows = LossHead.chunkRows(vocabulary: description.vocabulary, rows: length)
        let products = DecoderScratch(
            linears: layouts, head: head, rows: length, headRows: headRows)
        let backends = BlockRunner.backends(backend)
        let forward = backends.all.map { products.byteCount(on: $0) }.max() ?? 0
        let most = max(forward, statisticsBytes(length: length, on: backend))
        guard sensitivityLength > 0 else { return most }
        let rows = min(length, sensitivityLength)
        let backward = DecoderScratch(
            linears: description.distinctLinears.map { dense(dtype, $0) },
            head: denseHead(dtype), rows: rows,
            headRows: LossHead.chunkRows(vocabulary: description.vocabulary, rows: rows),
            training: .adapters)
        return [backends.observing, backends.carrying]
            .reduce(most) { max($0, backward.byteCount(on: $1)) }
    }

    /// Scratch of sums over tokens, of Hessians' factors, and of products with errors and changes.
    private func statisticsBytes(length: Int, on backend: CPUBackend) -> Int {
        let sums = [
            BlockRunner.statistics(on: backend), BlockRunner.roughStatistics(on: backend),
        ]
        let linears = description.distinctLinears.map { ($0.inputs, $0.outputs) }
        let head = (description.shape.hidden, description.vocabulary)
        return (linears + [head]).reduce(0) { most, extents in
            let (inputs, outputs) = extents
            return max(
                most, sums.map { $0.gramScratchBytes(rows: length, columns: inputs) }.max() ?? 0,
                InverseFactor.scratchBytes(size: inputs, on: backend),
                TriangularProducts.scratchBytes(size: inputs, columns: outputs, on: backend),
                backend.gemmScratchBytes(m: inputs, n: outputs, k: inputs))
        }
    }

    /// Tokens of a row that goes backward; 0 when none does.
    private var sensitivityLength: Int {
        options.measures && options.recipe == .eft
            ? min(options.measurementLength, Sensitivity.rowLength) : 0
    }

    private func dense(_ dtype: DType, _ linear: DecoderDescription.LinearShape) -> WeightLayout {
        DenseScheme.layout(
            stored: dtype, as: .asStored, inputs: linear.inputs, outputs: linear.outputs)
    }

    private func denseHead(_ dtype: DType) -> WeightLayout {
        DenseScheme.layout(
            stored: dtype, as: .asStored, inputs: description.shape.hidden,
            outputs: description.vocabulary)
    }

    /// Most bytes that the job takes, by purpose: the neediest moment.
    /// - Parameters:
    ///   - dtype: the type of the stored weights.
    ///   - tokens: tokens of calibration, when they are known to be fewer than a row.
    ///   - folding: what folding in an adapter takes.
    func memory(
        stored dtype: DType, tokens: Int?, folding: FoldingNeed = FoldingNeed(),
        on backend: CPUBackend
    ) -> MemoryTable {
        let length = min(options.length, tokens ?? options.length)
        let products = max(
            scratchBytes(stored: dtype, length: length, on: backend), folding.scratchBytes)
        let scratch = MemoryTable([
            .adapters: folding.heldBytes,
            .workspace: products,
        ])
        let reading = MemoryTable([.window: folding.readingBytes])
        let carrying = scratch + carried(length: length, tokens: tokens) + kept
        let foldsHead = folding.tensors.contains(headSource + ".weight")
        var moments = layerMoments(
            stored: dtype, length: length, reading: folding.readingBytes, threads: backend.threads
        ).map { carrying + $0 }
        moments += headMoments(stored: dtype, length: length, threads: backend.threads)
            .map { carrying + (foldsHead ? reading : MemoryTable()) + $0 }
        if options.measures {
            let length = min(length, options.measurementLength)
            moments += measurementMoments(stored: dtype, length: length, threads: backend.threads)
                .map { scratch + reading + $0 }
        }
        // Pieces of the base and of a quantized tensor on their way to the output, beside the products' scratch.
        moments.append(
            MemoryTable([
                .adapters: folding.heldBytes,
                .window: 2 * TensorCaster.byteCount + folding.readingBytes, .workspace: products,
            ]))
        return moments.max { $0.total < $1.total } ?? scratch
    }

    /// What the job knows of each linear layer until its end: the options that were measured with their errors, and reports.
    private var kept: MemoryTable {
        let each =
            QuantizePlan.reportBytes + (options.measures ? QuantizePlan.measuredBytes : 0)
        return MemoryTable([.workspace: description.linearCount * each])
    }

    /// As measured for the options of the tables.
    private static let measuredBytes = 20 << 10
    /// What a linear layer's report and gaps between its buffers were measured to take.
    private static let reportBytes = 10 << 10

    /// States of one row before and after a layer, of the rows of which errors are told, and the activations.
    private func carried(length: Int, tokens: Int?) -> MemoryTable {
        let lengths = [Int](repeating: length, count: QuantizePlan.reportRows)
        let kept = min(tokens ?? .max, reported(lengths).reduce(0, +))
        let chains = options.compensates ? 2 : 1
        let pausing =
            options.pauses ? chains * PausedRows.narrowBytes(description, length: length) : 0
        return MemoryTable([
            .activations: (2 * chains * length + kept) * description.shape.hidden * 4
                + BlockRunner.byteCount(description, length: length) + pausing
        ])
    }

    /// The weights of a layer as they are stored, and its norms.
    private func layerBytes(stored dtype: DType) -> Int {
        description.largest { layer in
            description.linears(layer: layer).reduce(0) { $0 + dense(dtype, $1).byteCount }
        }
            + vectorBytes
    }

    /// Those of the kind of layer that has the most inputs.
    private var siblings: [[DecoderDescription.LinearShape]] {
        description.distinctLayers.map { QuantizePlan.siblings($0.layer, description) }
            .max { Self.hessianBytes($0) < Self.hessianBytes($1) } ?? []
    }

    private static func inputs(_ linears: [DecoderDescription.LinearShape]) -> Int {
        linears.first?.inputs ?? 0
    }

    private static func hessianBytes(_ siblings: [[DecoderDescription.LinearShape]]) -> Int {
        siblings.reduce(0) { $0 + Hessian.byteCount(inputs($1)) }
    }

    private var hessianBytes: Int { Self.hessianBytes(siblings) }

    /// What stands beside the rows while experts' last products are worked on, one at a time: their layer's weights, a
    /// Hessian, and what `working` says.
    private func expertMoments(
        stored dtype: DType, _ working: (DecoderDescription.LinearShape) -> Int
    ) -> [MemoryTable] {
        description.distinctLayers.flatMap {
            QuantizePlan.expertOutputs($0.layer, description).prefix(1)
        }.map {
            MemoryTable([
                .weights: layerBytes(stored: dtype),
                .workspace: Hessian.byteCount($0.inputs) + working($0),
            ])
        }
    }

    /// What stands beside the fixed part while a layer is worked on.
    /// - Parameter reading: bytes that reading an adapted weight takes for a while.
    private func layerMoments(
        stored dtype: DType, length: Int, reading: Int, threads: Int
    ) -> [MemoryTable] {
        func quantizing(_ linear: DecoderDescription.LinearShape, adjusting: Bool) -> Int {
            max(
                InverseFactor.byteCount(size: linear.inputs),
                LinearQuantizer.byteCount(
                    inputs: linear.inputs, outputs: linear.outputs, groups: target(linear).groups,
                    recipe: options.rounding, adjusting: adjusting, reading: reading,
                    threads: threads))
        }
        guard options.pauses else {
            return momentsAtOnce(stored: dtype, reading: reading) {
                quantizing($0, adjusting: false)
            }
        }
        return description.distinctLayers.flatMap {
            momentsInSteps(
                $0.layer, stored: dtype, length: length, reading: reading, quantizing)
        }
    }

    /// Bytes of some linear layers in memory, quantized or as they are stored.
    private func bytes(
        _ linears: [DecoderDescription.LinearShape], stored dtype: DType, quantized: Bool
    ) -> Int {
        linears.reduce(0) { sum, linear in
            let layout =
                quantized && !linear.role.isRouter
                ? layout(target(linear)) : dense(dtype, linear)
            return sum + layout.byteCount
        }
    }

    /// The norms and vectors of a layer.
    private var vectorBytes: Int {
        description.vectorBytes / max(description.layers, 1) + 4096
    }

    /// Where all Hessians of a layer are collected, then all its linear layers quantized.
    private func momentsAtOnce(
        stored dtype: DType, reading: Int,
        _ quantizing: (DecoderDescription.LinearShape) -> Int
    ) -> [MemoryTable] {
        var moments = [
            MemoryTable([
                .weights: layerBytes(stored: dtype), .window: reading, .workspace: hessianBytes,
            ])
        ]
        for kind in description.distinctLayers {
            let siblings = QuantizePlan.siblings(kind.layer, description)
            var hessians = Self.hessianBytes(siblings)
            for linears in siblings {
                let most = linears.map(quantizing).max()
                moments.append(MemoryTable([.workspace: hessians + (most ?? 0)]))
                hessians -= Hessian.byteCount(Self.inputs(linears))
            }
        }
        moments += expertMoments(stored: dtype, quantizing)
        // The quantized layer, which is run after it.
        let quantized = description.largest {
            bytes(description.linears(layer: $0), stored: dtype, quantized: true)
        }
        moments.append(MemoryTable([.weights: quantized]))
        return moments
    }

    /// Where each group of linear layers is quantized before the rows go on.
    private func momentsInSteps(
        _ layer: Int, stored dtype: DType, length: Int, reading: Int,
        _ quantizing: (DecoderDescription.LinearShape, _ adjusting: Bool) -> Int
    ) -> [MemoryTable] {
        let compensates = options.compensates
        let chains = compensates ? 2 : 1
        func weights(to pause: LayerPause) -> Int {
            let linears = RowWalk.linears(to: pause, layer, description)
            return chains * vectorBytes + bytes(linears, stored: dtype, quantized: true)
                + (compensates ? bytes(linears, stored: dtype, quantized: false) : 0)
        }
        // The whole layer, unquantized and quantized, one after the other: of their values errors are told.
        let linears = description.linears(layer: layer)
        let loading =
            linears.filter { !$0.role.isRouter }.map { loadBytes(target($0)) }.max() ?? 0
        var moments = [false, true].map {
            MemoryTable([
                .weights: vectorBytes + bytes(linears, stored: dtype, quantized: $0),
                .window: reading, .workspace: loading,
            ])
        }
        let groups = QuantizePlan.siblings(layer, description)
        for (pause, linears) in zip(RowWalk.pauses(layer, description), groups) {
            let inputs = Self.inputs(linears)
            let hessians = chains * Hessian.byteCount(inputs)
            moments.append(
                MemoryTable([
                    .weights: weights(to: pause), .window: reading,
                    .workspace: hessians + loading,
                    .activations: compensates ? length * inputs * 4 : 0,
                ]))
            let most = linears.map { quantizing($0, compensates) }
            moments.append(MemoryTable([.workspace: hessians + (most.max() ?? 0)]))
        }
        if let output = QuantizePlan.expertOutputs(layer, description).first {
            let linears = RowWalk.linearsOfExperts(layer, description)
            moments.append(
                MemoryTable([
                    .weights: vectorBytes + bytes(linears, stored: dtype, quantized: true),
                    .workspace: Hessian.byteCount(output.inputs)
                        + max(loading + reading, quantizing(output, false)),
                ]))
        }
        return moments
    }

    private func headMoments(stored dtype: DType, length: Int, threads: Int) -> [MemoryTable] {
        let head = head
        let losses = LossHead.byteCount(
            vocabulary: description.vocabulary, rows: length, description.logits, backward: false)
        guard quantizesHead else {
            return [
                MemoryTable([
                    .activations: losses, .weights: denseHead(dtype).byteCount,
                    .workspace: DenseScheme.scratchBytes(
                        stored: dtype, as: .asStored, inputs: description.shape.hidden,
                        outputs: description.vocabulary),
                ])
            ]
        }
        let quantizing = LinearQuantizer.byteCount(
            inputs: head.inputs, outputs: head.outputs, groups: head.groups,
            recipe: options.rounding, threads: threads)
        return [
            MemoryTable([
                .workspace: Hessian.byteCount(head.inputs)
                    + max(InverseFactor.byteCount(size: head.inputs), quantizing)
            ]),
            MemoryTable([.activations: losses, .weights: layout(head).byteCount]),
        ]
    }

    private func measurementMoments(
        stored dtype: DType, length: Int, threads: Int
    ) -> [MemoryTable] {
        let states = 2 * length * description.shape.hidden * 4
        let runner = BlockRunner.byteCount(description, length: length)
        var moments = [
            MemoryTable([
                .activations: states + runner, .weights: layerBytes(stored: dtype),
                .workspace: hessianBytes,
            ])
        ]
        func measuring(_ linear: DecoderDescription.LinearShape) -> Int {
            max(
                InverseFactor.byteCount(size: linear.inputs),
                MeasurementStage.byteCount(linear, options.recipe, threads: threads)
                    + TriangularProducts.byteCount(size: linear.inputs, columns: linear.outputs))
        }
        let groups = description.distinctLayers.flatMap {
            QuantizePlan.siblings($0.layer, description)
        }
        for linears in groups {
            let most = linears.map(measuring).max()
            moments.append(
                MemoryTable([
                    .activations: states + runner, .workspace: hessianBytes + (most ?? 0),
                ]))
        }
        moments += expertMoments(stored: dtype, measuring).map {
            $0 + MemoryTable([.activations: states + runner])
        }
        if sensitivityLength > 0 {
            let rows = min(length, sensitivityLength)
            moments += Sensitivity.moments(
                description, rows: rows, count: options.measurementRows,
                layerBytes: layerBytes(stored: dtype),
                headBytes: denseHead(dtype).byteCount)
        }
        return moments
    }
}
