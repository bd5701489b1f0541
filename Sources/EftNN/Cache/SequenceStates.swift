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
    /// States that are kept of what sequences begin with, for others to go on from.
    package var snapshots = 0
    /// Whether each sequence has a second place, to which it can go back.
    package var hasBackups = false

    /// States of a layer.
    var places: Int { (hasBackups ? 2 * sequences : sequences) + snapshots }

    /// States a need.
    package init(sequences: Int, floats: Int, layers: [Bool]) {
        self.sequences = sequences
        self.floats = floats
        self.layers = layers
    }

    /// Bytes of all states in some layers.
    package func byteCount(layers range: Range<Int>) -> Int {
        layers[range].count { $0 } * floats * 4 * places
    }
}

/// The states of sequences: a place for each, in all layers, from its first token until it is released. Behind those places
/// stand as many to go back to, where the need says so, and then those of snapshots.
final class SequenceStates: Sendable {
    private struct Places {
        var taken: [Int: Int] = [:]
        var free: [Int]

        /// The place of a sequence, which it gets with its first token.
        mutating func place(of sequence: Int) -> Int {
            if let place = taken[sequence] { return place }
            guard let place = free.popLast() else {
                preconditionFailure("more sequences than states")
            }
            taken[sequence] = place
            return place
        }
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
                    byteCount: pool.count * need.floats * 4 * need.places, ledger: pool.ledger,
                    purpose: .kvCache, residency: .onUse))
        }
        layers = found.map { place in
            place.map { (buffers[$0.pool], $0.layer, pools[$0.pool].count) }
        }
        places = Mutex(Places(free: Array((0..<need.sequences).reversed())))
    }

    /// Whether a sequence has a place or can have one.
    func canHold(_ sequence: Int) -> Bool {
        places.withLock { $0.taken[sequence] != nil || !$0.free.isEmpty }
    }

    /// Where a layer's states of a batch's sequences stand. A sequence gets its place with its first token.
    func states(layer: Int, batch: DecoderBatch) -> [UnsafeMutablePointer<Float>?] {
        guard let memory = layers[layer] else { return batch.runs.map { _ in nil } }
        return places.withLock { places in
            batch.runs.map { run in
                if places.taken[run.sequence] == nil {
                    precondition(run.firstPosition == 0, "a sequence's state is gone")
                }
                let place = places.place(of: run.sequence)
                return memory.buffer.floats + (place * memory.count + memory.layer) * need.floats
            }
        }
    }

    // MARK: Copies

    /// Keeps a sequence's state for `restore`.
    func backUp(_ sequence: Int) {
        guard let place = places.withLock({ $0.taken[sequence] }) else { return }
        copy(place, to: backup(of: place))
    }

    /// Gives a sequence the state back that it had at `backUp`.
    func restore(_ sequence: Int) {
        guard let place = places.withLock({ $0.taken[sequence] }) else { return }
        copy(backup(of: place), to: place)
    }

    private func backup(of place: Int) -> Int {
        precondition(need.hasBackups, "no places were taken to go back to")
        return need.sequences + place
    }

    /// Keeps a sequence's state in the place of a snapshot.
    func save(_ sequence: Int, in snapshot: Int) {
        guard let place = places.withLock({ $0.taken[sequence] }) else { return }
        copy(place, to: need.places - need.snapshots + snapshot)
    }

    /// Begins a sequence with the state of a snapshot.
    func load(_ snapshot: Int, into sequence: Int) {
        let place = places.withLock { $0.place(of: sequence) }
        copy(need.places - need.snapshots + snapshot, to: place)
    }

    private func copy(_ source: Int, to target: Int) {
        for case let memory? in layers where memory.layer == 0 {
            let count = memory.count * need.floats
            (memory.buffer.floats + target * count).update(
                from: memory.buffer.floats + source * count, count: count)
        }
    }

    /// Takes a sequence's place back.
    func release(sequence: Int) {
        places.withLock { places in
            if let place = places.taken.removeValue(forKey: sequence) { places.free.append(place) }
        }
    }

    /// Gives the memory of places back that no sequence has, and that of snapshots that hold nothing.
    /// - Returns: bytes that were given back at most.
    func giveBack(snapshots: [Int]) -> Int {
        places.withLock { places in
            var bytes = 0
            let backups = need.hasBackups ? places.free.map { need.sequences + $0 } : []
            let empty = snapshots.map { need.places - need.snapshots + $0 }
            for case let memory? in layers where memory.layer == 0 {
                let size = memory.count * need.floats * 4
                for place in places.free + backups + empty {
                    memory.buffer.discard(place * size..<(place + 1) * size)
                    bytes += size
                }
            }
            return bytes
        }
    }
}
