// SPDX-License-Identifier: Apache-2.0
// The form in which a plan advises to run a model.
import EftModels
import EftNN
import EftPlanning
import EftQuant
import EftTensor
import EftTestSupport
import Testing

@Suite struct ChoiceTests {
    private let subject = PlanSubject(
        model: "./m", memory: nil, context: nil, stepTokens: 512, hasWeights: false, isDense: true,
        isChat: false)
    private let generation = GenerationNeed(contextLength: 512)

    /// A machine whose one-row products take a byte of codes of a width in this many units of time.
    private func planner(_ limit: Int, slowness: [Int: Double]?) throws -> Planner {
        let folder = try TemporaryFolder()
        let path = try folder.write(
            "config.json",
            """
            {"model_type": "llama", "vocab_size": 1024, "hidden_size": 1024, "intermediate_size": 4096,
             "num_hidden_layers": 8, "num_attention_heads": 16, "max_position_embeddings": 4096}
            """)
        let model = try ModelFolder.open(path, needsWeights: false)
        var planner = Planner(
            description: model.description, limits: [limit], programBytes: 0,
            backend: try CPUBackend(threads: 1))
        guard let slowness else { return planner }
        func rates(_ speed: Double) -> Calibration.ProductRates {
            Calibration.ProductRates(
                vectorBytes: speed, product: [.f32: 1e12], transposed: [.f32: 1e12])
        }
        var products: [WeightKind: Calibration.ProductRates] = [
            .bf16: rates(1e9), .nf4: rates(1e9),
        ]
        for bits in EXL2Geometry.uniformWidths {
            products[.exl2(bits: bits)] = rates(1e9 / (slowness[bits] ?? 1))
        }
        planner.estimator = Estimator(
            calibration: Calibration(
                machine: Calibration.Machine(processor: "", instructionSet: "", threads: 1),
                limits: MachineLimits(
                    readBandwidth: 1e12, fmaPeak: 1e12, bf16Peak: 0, int16Peak: 0, int8Peak: 0),
                products: products,
                attention: Calibration.AttentionRates(forward: 1e15, backward: 1e15),
                operationSeconds: 0),
            description: model.description, precision: .f32)
        return planner
    }

    private func choice(_ planner: Planner) throws -> (RunChoice?, PlanReport) {
        var stages: [StagePlan] = []
        let formats: [(StageKind, PlannedFormat)] =
            [(.runDense, .dense(.bf16))]
            + EXL2Geometry.uniformWidths.map {
                (
                    .runEXL2(bits: $0),
                    .exl2(bits: Double($0), headBits: Planner.headBits(Double($0)))
                )
            }
        for (kind, format) in formats {
            var stage = planner.run(
                name: "run, \(format.name)",
                layouts: try DecoderLayouts(planner.description, format: format), need: generation)
            stage.kind = kind
            stages.append(stage)
        }
        let report = PlanReport(stages: stages, limits: planner.limits)
        return (planner.choice(report, subject, generation: generation), report)
    }

    /// Bytes with which a form fits, and wider ones do not.
    private func room(_ kind: StageKind) throws -> Int {
        let (_, report) = try choice(planner(.max, slowness: nil))
        return try #require(report.stage(kind)).memory.total
    }

    @Test func `what fits as it is stays as it is`() throws {
        let (found, _) = try choice(planner(.max, slowness: nil))
        #expect(found?.kind == .runDense)
    }

    @Test(arguments: [(8, 4), (6, 4), (5, 4), (4, 4), (3, 3), (2, 2)])
    func `the width is 4 bits, or what fits`(_ fitting: Int, _ bits: Int) throws {
        let limit = try room(.runEXL2(bits: fitting))
        #expect(try choice(planner(limit, slowness: nil)).0?.bits == bits)
    }

    @Test func `a wider width that is no slower is taken`() throws {
        let limit = try room(.runEXL2(bits: 8))
        // Narrow codes take long to unpack, as they do without AVX-512.
        let slow = [2: 4.0, 3: 3, 4: 2.5, 5: 2.2, 6: 1.5, 8: 1]
        #expect(try choice(planner(limit, slowness: slow)).0?.bits == 8)
        // Where all bytes cost the same, fewer are faster.
        #expect(try choice(planner(limit, slowness: [:])).0?.bits == 4)
    }

    @Test func `a much faster quantization is advised beside weights that fit`() throws {
        let fast = try planner(.max, slowness: [:])
        let (found, report) = try choice(fast)
        let dense = try #require(found)
        #expect(fast.faster(than: dense, report, subject)?.bits == 4)
        let slow = try planner(.max, slowness: [2: 9, 3: 9, 4: 9, 5: 9, 6: 9, 8: 9])
        let (other, slowReport) = try choice(slow)
        #expect(slow.faster(than: try #require(other), slowReport, subject) == nil)
    }

    @Test func `where nothing fits there is no choice but a size that would do`() throws {
        let planner = try planner(1 << 20, slowness: nil)
        let (found, report) = try choice(planner)
        #expect(found == nil)
        let conclusion = planner.conclusion(report, subject, choice: found)
        #expect(conclusion.items.count == 1)
        #expect(conclusion.items.first?.text.contains("--memory ") == true)
        #expect(conclusion.items.first?.commands.isEmpty == true)
    }

    @Test func `without speeds nothing is said of them`() throws {
        let planner = try planner(.max, slowness: nil)
        let (found, report) = try choice(planner)
        let text = planner.conclusion(report, subject, choice: found).items.map(\.text).joined()
        #expect(!text.contains("tokens/s") && text.contains("MiB"))
    }
}
