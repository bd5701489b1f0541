// SPDX-License-Identifier: Apache-2.0
// Estimates are arithmetic on a calibration: with made-up round figures they come out exactly.
import EftModels
import EftNN
import EftPlanning
import EftTensor
import Testing

@Suite struct EstimatorTests {
    /// A model whose counts are easily checked by hand: 2 layers of 64 wide, head and embedding of 256.
    private static let description = DecoderDescription.small

    /// Weights of one layer's products: q and o 64 x 64, k and v 64 x 32, three of 64 x 128.
    private static let layerWeights = Double(2 * 4096 + 2 * 2048 + 3 * 8192)
    private static let headWeights = 64.0 * 256

    /// Nothing costs anything but what a test sets.
    private static func calibration(
        _ products: [WeightKind: Calibration.ProductRates], bandwidth: Double = .infinity,
        attention: Double = .infinity, operation: Double = 0
    ) -> Calibration {
        Calibration(
            machine: Calibration.Machine(processor: "", instructionSet: "", threads: 1),
            limits: MachineLimits(
                readBandwidth: bandwidth, fmaPeak: .infinity, bf16Peak: 0, int16Peak: 0,
                int8Peak: 0),
            products: products,
            attention: Calibration.AttentionRates(forward: attention, backward: attention / 2),
            operationSeconds: operation)
    }

    private static func rates(
        vector: Double = .infinity, product: Double = .infinity, transposed: Double = .infinity
    ) -> Calibration.ProductRates {
        Calibration.ProductRates(
            vectorBytes: vector, product: [.f32: product], transposed: [.f32: transposed])
    }

    private func estimator(
        _ products: [WeightKind: Calibration.ProductRates], bandwidth: Double = .infinity,
        attention: Double = .infinity, operation: Double = 0
    ) -> Estimator {
        Estimator(
            calibration: Self.calibration(
                products, bandwidth: bandwidth, attention: attention, operation: operation),
            description: Self.description)
    }

    private func layouts(_ format: PlannedFormat = .dense(.bf16)) throws -> DecoderLayouts {
        try DecoderLayouts(Self.description, format: format)
    }

    /// Whether two times are the same but for the order of additions.
    private func same(_ a: Double?, _ b: Double) -> Bool {
        a.map { abs($0 - b) <= 1e-12 * abs(b) } ?? false
    }

    // MARK: Generation

    @Test func `a step reads all weights but the embedding`() throws {
        let estimator = estimator([.bf16: Self.rates(vector: 1000)])
        let step = try #require(estimator.decodeStep(context: 0, layouts: layouts()))
        let seconds = 2 * (2 * Self.layerWeights + Self.headWeights) / 1000
        #expect(same(step.seconds, seconds))
        #expect(same(step.tokensPerSecond, 1 / seconds))
        #expect(step.limit == .memory)
    }

    @Test func `a step reads the keys and values of all sequences`() throws {
        let free = estimator([.bf16: Self.rates()], bandwidth: 1e6)
        let short = try #require(free.decodeStep(sequences: 3, context: 0, layouts: layouts()))
        let long = try #require(free.decodeStep(sequences: 3, context: 33, layouts: layouts()))
        // 3 pages of 16 tokens, keys and values of 32 numbers in bf16, in 2 layers.
        let bytes = 3.0 * 3 * 16 * 2 * 32 * 2 * 2
        #expect(abs(long.seconds - short.seconds - bytes / 1e6) < 1e-12)
        let wide = try #require(
            free.decodeStep(sequences: 3, context: 33, kvType: .f32, layouts: layouts()))
        #expect(abs(wide.seconds - short.seconds - 2 * bytes / 1e6) < 1e-12)
    }

    @Test func `several rows cost the larger of reading and computing`() throws {
        let weights = 2 * Self.layerWeights + Self.headWeights
        let reading = estimator([.bf16: Self.rates(vector: 1000, product: 1e9)])
        let step = try #require(reading.decodeStep(sequences: 4, context: 0, layouts: layouts()))
        #expect(same(step.seconds, 2 * weights / 1000) && step.limit == .memory)
        #expect(same(step.tokensPerSecond, 4 / step.seconds))
        let computing = estimator([.bf16: Self.rates(vector: 1e9, product: 1000)])
        let slow = try #require(computing.decodeStep(sequences: 4, context: 0, layouts: layouts()))
        #expect(same(slow.seconds, 4 * 2 * weights / 1000) && slow.limit == .arithmetic)
    }

    @Test func `codes that unpack slowly are bound by arithmetic`() throws {
        let products = [
            WeightKind.exl2(bits: 2): Self.rates(vector: 500),
            .exl2(bits: 8): Self.rates(vector: 1000),
        ]
        let narrow = try layouts(.exl2(bits: 2, headBits: 8))
        let step = try #require(estimator(products).decodeStep(context: 0, layouts: narrow))
        let inside = narrow.linears.reduce(0) { $0 + $1.byteCount }
        #expect(same(step.seconds, Double(inside) / 500 + Double(narrow.head.byteCount) / 1000))
        #expect(step.limit == .arithmetic)
    }

    @Test func `widths of a weight count by their share`() throws {
        // A head of 6 bits has groups of 8 bits among its groups of 6.
        let products = [
            WeightKind.exl2(bits: 2): Self.rates(), .exl2(bits: 6): Self.rates(vector: 6),
            .exl2(bits: 8): Self.rates(),
        ]
        let layouts = try layouts(.exl2(bits: 2, headBits: 6))
        guard case .coded(_, _, let groups, _) = layouts.head.format else {
            Issue.record("a head in codes")
            return
        }
        let rows = groups.map { ($0.bits, Double($0.blocks * $0.bits)) }
        let all = rows.reduce(0) { $0 + $1.1 }
        let six = rows.filter { $0.0 == 6 }.reduce(0) { $0 + $1.1 }
        #expect(all > 0)
        let step = try #require(estimator(products).decodeStep(context: 0, layouts: layouts))
        #expect(same(step.seconds, Double(layouts.head.byteCount) * six / all / 6))
    }

    @Test func `a prompt is read in chunks`() throws {
        let products = [WeightKind.bf16: Self.rates(vector: 1e9, product: 1e6)]
        let once = try #require(estimator(products).prefill(tokens: 40, layouts: layouts()))
        let head = 2 * Self.headWeights / 1e9
        let operations = 2.0 * 40 * 2 * Self.layerWeights
        #expect(same(once.seconds, operations / 1e6 + head))
        #expect(same(once.tokensPerSecond, 40 / once.seconds) && once.limit == .arithmetic)
        // Attention sees the same pairs of tokens whatever the chunks: 40 * 41 / 2 in 2 layers, 4 * 64 operations each.
        for chunk in [1, 7, 40, 512] {
            let prompt = try #require(
                estimator([.bf16: Self.rates()], attention: 1000)
                    .prefill(tokens: 40, chunk: chunk, layouts: layouts()))
            #expect(same(prompt.seconds, 820.0 * 2 * 4 * 64 / 1000), "\(chunk)")
        }
    }

    // MARK: Streaming

    @Test func `streamed layers are read while others compute`() throws {
        let description = Self.deep
        let layouts = try DecoderLayouts(description, format: .dense(.bf16))
        let placement = layouts.streaming(6)
        let bytes = Double(placement.forwardReads())
        var estimator = Estimator(
            calibration: Self.calibration([.bf16: Self.rates(vector: 1e6, transposed: 1e12)]),
            description: description)
        #expect(estimator.decodeStep(context: 0, layouts: layouts, placement: placement) == nil)
        let resident = try #require(
            estimator.decodeStep(context: 0, layouts: layouts, placement: layouts.resident))
        estimator.streamingDisk = Calibration.DiskRates(read: 1000, write: 1)
        let slow = try #require(
            estimator.decodeStep(context: 0, layouts: layouts, placement: placement))
        #expect(same(slow.seconds, bytes / 1000) && slow.limit == .disk)
        let prompt = try #require(
            estimator.prefill(tokens: 40, chunk: 16, layouts: layouts, placement: placement))
        #expect(same(prompt.seconds, 3 * bytes / 1000))
        // There and back through a window of two: 2 (6 - 2) reads of 6 layers.
        let batch = Estimator.TrainingBatch(sequences: 1, length: 4, rank: 2, checkpointing: true)
        let training = try #require(
            estimator.trainingBatch(batch, layouts: layouts, placement: placement))
        #expect(same(training.seconds, bytes * 8 / 6 / 1000))
        estimator.streamingDisk = Calibration.DiskRates(read: 1e12, write: 1)
        let fast = try #require(
            estimator.decodeStep(context: 0, layouts: layouts, placement: placement))
        #expect(fast == resident && fast.limit == .memory)
    }

    @Test func `experts that are chosen are read before they compute`() throws {
        var description = Self.deep
        description.shape.mixture = MixtureShape(experts: 8, expertsPerRow: 2)
        let layouts = try DecoderLayouts(description, format: .dense(.bf16))
        // 8 layers of 8 experts, each of 12 whole pages.
        let bytes = Double(3 * 8192 * 2)
        let device = try #require(layouts.streamingExperts(slots: 16))
        let placement = WeightPlacement(devices: [device])
        #expect(placement.expertCount == 64 && placement.expertSlots == 16)
        #expect(placement.windowBytes == 16 * Int(bytes))
        #expect(placement.forwardReads() == 16 * Int(bytes))
        #expect(placement.forwardReads(rows: 3) == 48 * Int(bytes))
        #expect(placement.forwardReads(rows: 1000) == 64 * Int(bytes))
        #expect(placement.summary.contains("16 of 64 experts in memory"))
        #expect(placement.summary.contains("at most \(formatBytes(16 * Int(bytes))) a token"))
        var estimator = Estimator(
            calibration: Self.calibration([.bf16: Self.rates(vector: 1e6)]),
            description: description)
        #expect(estimator.decodeStep(context: 0, layouts: layouts, placement: placement) == nil)
        let resident = try #require(
            estimator.decodeStep(context: 0, layouts: layouts, placement: layouts.resident))
        estimator.streamingDisk = Calibration.DiskRates(read: 1e5, write: 1)
        // A quarter of the experts is in memory.
        let step = try #require(
            estimator.decodeStep(context: 0, layouts: layouts, placement: placement))
        #expect(same(step.seconds, resident.seconds + 16 * bytes * 0.75 / 1e5))
        #expect(step.limit == .disk)
    }

    private static var deep: DecoderDescription {
        var description = description
        description.layers = 8
        return description
    }

    // MARK: Training

    @Test func `a micro-batch is forward, again, and back`() throws {
        let products = [
            WeightKind.bf16: Self.rates(product: 1e6, transposed: 2e6),
            .f32: Self.rates(product: 5e5),
        ]
        func seconds(_ rank: Int, _ checkpointing: Bool) throws -> Double {
            let batch = Estimator.TrainingBatch(
                sequences: 2, length: 10, rank: rank, checkpointing: checkpointing)
            return try #require(
                estimator(products).trainingBatch(batch, layouts: layouts())
            ).seconds
        }
        let rows = 20.0
        let weights = 2 * Self.layerWeights + Self.headWeights
        let operations = 2 * rows * weights
        let plain = operations / 1e6 + operations / 2e6
        // Inputs and outputs of all linear layers.
        let inputs = Double(2 * (6 * 64 + 128))
        let outputs = Double(2 * (3 * 64 + 2 * 32 + 2 * 128))
        let perOperation = 2 * rows * 3 / 5e5
        let adapters = perOperation * (4 * inputs + 3 * outputs)
        #expect(same(try seconds(3, false), plain + adapters))
        // The last layer is not computed again, and of the first one not the product of 128 x 64.
        let again = 2 * rows * (Self.layerWeights - 128 * 64) / 1e6
        let more = perOperation * (inputs + outputs)
        #expect(same(try seconds(3, true), plain + again + adapters + more))
        #expect(same(try seconds(0, false), plain + operations / 5e5))
    }

    @Test func `attention's backward pass has a rate of its own`() throws {
        let estimator = estimator([.bf16: Self.rates(), .f32: Self.rates()], attention: 1000)
        let batch = Estimator.TrainingBatch(sequences: 3, length: 10, rank: 1, checkpointing: false)
        let training = try #require(estimator.trainingBatch(batch, layouts: layouts()))
        let operations = 3 * 2 * 55.0 * 4 * 64
        #expect(same(training.seconds, operations / 1000 + 2.5 * operations / 500))
    }

    @Test func `an optimizer step moves its state`() {
        let step = estimator([:], bandwidth: 1e6).optimizerStep(trainable: 1000)
        #expect(same(step.seconds, 1000.0 * 32 / 1e6) && step.limit == .memory)
        #expect(step.tokensPerSecond == nil)
    }

    // MARK: Conversions

    @Test func `copying reads and then writes`() {
        let (source, target) = (
            Calibration.DiskRates(read: 100, write: 1), Calibration.DiskRates(read: 1, write: 50)
        )
        let estimate = Estimator.copying(reading: 1000, from: source, writing: 200, to: target)
        #expect(estimate == StageEstimate(seconds: 14, limit: .disk))
        #expect(Estimator.copying(reading: 1, from: nil, writing: 1, to: target) == nil)
        #expect(Estimator.copying(reading: 1, from: source, writing: 1, to: nil) == nil)
    }

    @Test func `quantizing counts its products`() throws {
        let job = Estimator.Quantization(
            bits: 4, headBits: 6, rows: 3, length: 10, stored: .bf16)
        let free = Calibration.DiskRates(read: .infinity, write: .infinity)
        func seconds(_ products: [WeightKind: Calibration.ProductRates]) throws -> Double {
            try #require(try estimator(products).quantize(job, from: free, work: free)).seconds
        }
        let nothing = [
            WeightKind.f32: Self.rates(), .bf16: Self.rates(), .exl2(bits: 4): Self.rates(),
        ]
        // The search for scales and the comparison take their time whatever the rates.
        let weights = 2 * Self.layerWeights + Self.headWeights
        let search = weights * (Estimator.searchSeconds + Estimator.checkSeconds)
        #expect(same(try seconds(nothing), search))
        func hessians(_ operations: (Double) -> Double) -> Double {
            2 * (3 * operations(64) + operations(128)) + operations(64)
        }
        var sums = nothing
        sums[.bf16] = Self.rates(product: 1000)
        #expect(same(try seconds(sums) - search, hessians { 30 * $0 * $0 } / 1000))
        var forward = nothing
        forward[.exl2(bits: 4)] = Self.rates(product: 1000)
        #expect(same(try seconds(forward) - search, 30.0 * 4 * Self.layerWeights / 1000))
        var algebra = nothing
        algebra[.f32] = Self.rates(product: 1000)
        let wide = 2.0 * 8192
        let gptq = 2 * (64 * (weights - wide) + 128 * wide)
        let factors = hessians { $0 * $0 * $0 * 2 / 3 }
        #expect(same(try seconds(algebra) - search, (factors + gptq) / 1000))
    }

    @Test func `quantizing waits for its disks`() throws {
        let job = Estimator.Quantization(
            bits: 4, headBits: 6, rows: 3, length: 10, stored: .bf16)
        let free = Calibration.DiskRates(read: .infinity, write: .infinity)
        let slow = Calibration.DiskRates(read: 1, write: 1)
        let estimator = estimator([.f32: Self.rates(), .bf16: Self.rates()])
        let search = try #require(try estimator.quantize(job, from: free, work: free)).seconds
        let dense = try layouts().byteCount
        let coded = try layouts(.exl2(bits: 4, headBits: 6))
        let layers = coded.byteCount - coded.embedding.byteCount
        let reading = try #require(try estimator.quantize(job, from: slow, work: free))
        #expect(same(reading.seconds, Double(dense + layers) + search) && reading.limit == .disk)
        let writing = try #require(try estimator.quantize(job, from: free, work: slow))
        let states = 3 * 30 * 64 * 4
        #expect(
            same(
                writing.seconds, Double(2 * layers + coded.embedding.byteCount + states) + search))
        #expect(try estimator.quantize(job, from: nil, work: slow) == nil)
    }
}
