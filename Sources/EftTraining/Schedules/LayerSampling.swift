// SPDX-License-Identifier: Apache-2.0
// Which decoder layers are trained in which step (LISA, Pan et al. 2024).
import EftConfig

/// Some layers that are trained for some steps, then others. Embedding, head and last norm are always trained.
package struct LayerSampling: Sendable, Hashable {
    /// Layers that are trained at a time.
    package var count: Int
    /// Steps for which they are.
    package var interval: Int

    /// States a sampling.
    package init(count: Int, interval: Int) {
        self.count = count
        self.interval = interval
    }

    /// Reads `lisa_n_layers` and `lisa_step_interval`; nil when neither is there.
    /// - Throws: `ConfigError` when one is missing, or for layers other than the decoder's.
    static func read(_ config: ConfigCursor) throws(ConfigError) -> LayerSampling? {
        let range = 0...BatchPlan.mostSteps
        let count = try config.lenientInt("lisa_n_layers", in: range) ?? 0
        let interval = try config.lenientInt("lisa_step_interval", in: range) ?? 0
        guard count > 0 || interval > 0 else { return nil }
        let key = count > 0 ? "lisa_n_layers" : "lisa_step_interval"
        guard count > 0, interval > 0 else {
            throw try config.required(key).error(
                .badValue,
                "lisa_n_layers and lisa_step_interval go together; set both or remove both")
        }
        if let layers = try config.text("lisa_layers_attribute"), !layers.hasSuffix("layers") {
            throw try config.required("lisa_layers_attribute").error(
                .badValue,
                "only decoder layers are chosen among; set model.layers, or remove the key")
        }
        return LayerSampling(count: count, interval: interval)
    }

    /// The layers of a step, counted from 0: a function of the seed and the step alone.
    package func layers(step: Int, of total: Int, seed: UInt64) -> Set<Int> {
        var generator = ShuffleGenerator(
            seed: mixedSeed(seed, 0x6C_6973_61), stream: UInt64(max(0, step / interval)))
        return Set((0..<total).shuffled(using: &generator).prefix(count))
    }
}

/// How often each layer has been trained, as the steps of a run go by.
struct LayerTurns {
    private let sampling: LayerSampling
    private let seed: UInt64
    private var next = 0
    /// The layers of the step that was come to last.
    private(set) var active: Set<Int> = []
    /// Steps in which each layer was trained, that one counted.
    private(set) var counts: [Int]

    init(_ sampling: LayerSampling, layers: Int, seed: UInt64) {
        self.sampling = sampling
        self.seed = seed
        counts = Array(repeating: 0, count: layers)
    }

    /// Comes to a step, counted from 0, through all before it.
    mutating func advance(to step: Int) {
        while next <= step {
            if next.isMultiple(of: sampling.interval) {
                active = sampling.layers(step: next, of: counts.count, seed: seed)
            }
            for layer in active { counts[layer] += 1 }
            next += 1
        }
    }
}

extension AxolotlConfig {
    /// Reads the keys of LISA and checks them against the rest.
    /// - Throws: `ConfigError` for runs in which not all weights are trained.
    mutating func settleLayerSampling() throws(ConfigError) {
        guard let sampling = try LayerSampling.read(document) else { return }
        let key = try document.required("lisa_n_layers")
        guard adapter == nil, unfrozen == nil else {
            throw key.error(
                .badValue,
                "chooses among the layers of a model of which all weights are trained; remove adapter and "
                    + "unfrozen_parameters, or the keys of LISA")
        }
        let averages = (try? training.optimizer.rule().averages) ?? false
        guard !averages else {
            throw key.error(
                .badValue,
                "does not go with a schedule-free optimizer, whose means count every step; choose another"
            )
        }
        training.layerSampling = sampling
    }
}
