// SPDX-License-Identifier: Apache-2.0
// ReLoRA (Lialin et al. 2023): what an adapter learned is added to the base, and it begins anew.
import EftModels
import EftNN
import EftTensor

/// Restarts of an adapter.
///
/// The base stays as it is, also where it is quantized or streamed: each product is kept, to the bit, in a second adapter that is
/// not trained, whose rank grows by that of the first with each restart. What is saved are both in one.
final class AdapterRestarts {
    private let decoder: Decoder
    private let attached: AttachedAdapter
    private let settings: AdapterRestartSettings
    private let seed: UInt64
    private let fill: ((_ a: Matrix, _ module: String, _ restart: Int) -> Void)?
    /// Restarts so far.
    private(set) var count = 0

    /// - Parameter fill: fills A of a module for a restart, counted from 1; as fresh adapters are filled when nil.
    init(
        _ decoder: Decoder, _ attached: AttachedAdapter, _ settings: AdapterRestartSettings,
        seed: UInt64,
        fill: ((_ a: Matrix, _ module: String, _ restart: Int) -> Void)? = nil
    ) {
        self.fill = fill
        self.decoder = decoder
        self.attached = attached
        self.settings = settings
        self.seed = seed
    }

    /// Goes on from a checkpoint that was saved after some restarts; its kept products are read where the adapter is attached.
    func resume(count: Int) { self.count = count }

    /// Makes the restart that is due before a step, counted from 0.
    /// - Returns: whether there was one.
    /// - Throws: `FormatError` (`io`) when paged state of the optimizer cannot be read or written.
    func restart(before step: Int, _ optimizer: Optimizer) throws -> Bool {
        guard step / settings.interval > count else { return false }
        for (linear, _) in decoder.placedLinears {
            guard let adapter = linear.adapters[attached.slot],
                let kept = attached.start.flatMap({ linear.adapters[$0] })
            else { continue }
            keep(adapter, in: kept)
            begin(adapter, of: linear)
        }
        try prune(optimizer)
        count += 1
        decoder.noteChangedParameters()
        return true
    }

    /// Copies A, and B with the sign of the other's scale.
    private func keep(_ adapter: LoRA, in kept: LoRA) {
        let (rank, first) = (adapter.rank, count * adapter.rank)
        guard first + rank <= kept.rank else { return }
        let inputs = adapter.a.columns
        (kept.a.pointer + first * inputs).update(from: adapter.a.pointer, count: rank * inputs)
        for row in 0..<adapter.b.rows {
            let (source, target) = (
                adapter.b.pointer + row * rank, kept.b.pointer + row * kept.rank + first
            )
            for index in 0..<rank { target[index] = -source[index] }
        }
    }

    /// Fills A as fresh adapters are filled, whatever the first began with, and B with zeros.
    private func begin(_ adapter: LoRA, of linear: Linear) {
        adapter.b.pointer.update(repeating: 0, count: adapter.b.count)
        if let fill { return fill(adapter.a, linear.name, count + 1) }
        var generator = NormalGenerator(seed: mixedSeed(seed, linear.ordinal, UInt64(count + 1)))
        generator.fillUniformly(adapter.a)
    }

    private func prune(_ optimizer: Optimizer) throws {
        try optimizer.states.forEach { index, buffer in
            guard optimizer.parameters[index].name.contains("lora_") else { return }
            let state = ParameterState(buffer: buffer, layout: optimizer.layouts[index])
            for (place, part) in optimizer.layouts[index].parts.enumerated() {
                guard let values = state[part.name] else { continue }
                switch settings.pruning {
                case .magnitude: values.pruneSmallest(part.count, ratio: settings.ratio)
                case .random, .reset:
                    values.pruneAtRandom(
                        part.count, ratio: settings.ratio,
                        seed: mixedSeed(
                            seed, UInt64(index), UInt64(place), UInt64(count), 0x7265_6C6F))
                }
            }
        }
    }
}
