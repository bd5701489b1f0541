// SPDX-License-Identifier: Apache-2.0
// What layers keep of each sequence that have something else in the place of attention.
import EftTensor
import Synchronization

/// How much layers keep of sequences, and which layers do.
package struct StateNeed: Sendable, Hashable {
    /// Most sequences at once.
    package var sequences: Int
    /// Numbers of one sequence in one layer.
    package var floats: Int
    /// For each layer of the decoder whether it keeps a state, and not keys and values.
    package var layers: [Bool]

    /// States a need.
    package init(sequences: Int, floats: Int, layers: [Bool]) {
        self.sequences = sequences
        self.floats = floats
        self.layers = layers
    }

    /// Bytes of all sequences in some layers.
    package func byteCount(layers range: Range<Int>) -> Int {
        layers[range].count { $0 } * floats * 4 * sequences
    }
}

/// The states of sequences: a place for each, in all layers, from its first token until it is released.
final class SequenceStates: Sendable {
    private struct Places {
        var taken: [Int: Int] = [:]
        var free: [Int]
    }

    private let need: StateNeed
    /// The memory of each layer's device, and the layer's number there; nil for layers without a state.
    private let layers: [(buffer: Buffer, layer: Int, count: Int)?]
    private let places: Mutex<Places>

    /// Takes the memory of all sequences; it becomes resident when sequences use it.
    /// - Throws: `TensorError` when it does not fit a ledger.
    init(_ need: StateNeed, ledgers: [MemoryLedger?]) throws(TensorError) {
        precondition(need.layers.count == ledgers.count, "a ledger for each layer")
        self.need = need
        var pools: [(ledger: MemoryLedger?, count: Int)] = []
        var found: [(pool: Int, layer: Int)?] = []
        for (ledger, keeps) in zip(ledgers, need.layers) {
            guard keeps else {
                found.append(nil)
                continue
            }
            let known = pools.firstIndex { $0.ledger === ledger }
            let pool = known ?? pools.count
            if known == nil { pools.append((ledger, 0)) }
            found.append((pool, pools[pool].count))
            pools[pool].count += 1
        }
        var buffers: [Buffer] = []
        for pool in pools {
            buffers.append(
                try Buffer(
                    byteCount: pool.count * need.floats * 4 * need.sequences, ledger: pool.ledger,
                    purpose: .kvCache, residency: .onUse))
        }
        layers = found.map { place in
            place.map { (buffers[$0.pool], $0.layer, pools[$0.pool].count) }
        }
        places = Mutex(Places(free: Array((0..<need.sequences).reversed())))
    }

    /// Where a layer's states of a batch's sequences stand. A sequence gets its place with its first token.
    func states(layer: Int, batch: DecoderBatch) -> [UnsafeMutablePointer<Float>?] {
        guard let memory = layers[layer] else { return batch.runs.map { _ in nil } }
        return places.withLock { places in
            batch.runs.map { run in
                if places.taken[run.sequence] == nil {
                    precondition(run.firstPosition == 0, "a sequence's state is gone")
                    guard let place = places.free.popLast() else {
                        preconditionFailure("more sequences than states")
                    }
                    places.taken[run.sequence] = place
                }
                let place = places.taken[run.sequence, default: 0] * memory.count + memory.layer
                return memory.buffer.floats + place * need.floats
            }
        }
    }

    /// Takes a sequence's place back.
    func release(sequence: Int) {
        places.withLock { places in
            if let place = places.taken.removeValue(forKey: sequence) { places.free.append(place) }
        }
    }

    /// Gives the memory of places back that no sequence has.
    /// - Returns: bytes that were given back at most.
    func giveBack() -> Int {
        places.withLock { places in
            var bytes = 0
            for case let memory? in layers where memory.layer == 0 {
                let size = memory.count * need.floats * 4
                for place in places.free {
                    memory.buffer.discard(place * size..<(place + 1) * size)
                    bytes += size
                }
            }
            return bytes
        }
    }
}
