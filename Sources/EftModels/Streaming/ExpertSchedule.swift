// SPDX-License-Identifier: Apache-2.0
// Which expert is read next, into which place, and which one leaves for it.

/// The content of a number of places for experts, and the reads that keep it ahead of a pass.
///
/// A pass names the experts of a layer that it will use, in order; those that are not there are read, a few ahead of the one that
/// computes. The layers have equal shares of the places: the layer that holds most gives one up, and of its experts the one whose use
/// lies back farthest. So neither the order of the layers nor a long prompt drives out what the next token is likely to use.
struct ExpertSchedule: Sendable {
    /// An expert of a layer.
    struct Key: Sendable, Hashable {
        let layer: Int
        let expert: Int
    }

    /// What stands in a place.
    private enum Slot: Sendable, Hashable {
        case empty
        /// Being read.
        case reading(Key)
        /// Read.
        case ready(Key)
    }

    private var slots: [Slot]
    /// When the expert of a place was used, as a number that grows.
    private var stamps: [Int]
    private var places: [Key: Int] = [:]
    /// The places that each layer holds, by its number.
    private var held: [Int: [Int]] = [:]
    private var free: [Int]
    private var clock = 0
    private let layerCount: Int
    /// Experts that are read before the pass comes to them, at most.
    private let ahead: Int

    // The pass.
    private var wanted: [Key] = []
    private var wantedStamps: [Int] = []
    private var ranks: [Key: Int] = [:]
    private var failed: Set<Key> = []
    private var position = 0

    /// Empty places.
    /// - Parameters:
    ///   - layers: of the decoder.
    ///   - ahead: experts that are read before the pass comes to them, at most.
    init(slots: Int, layers: Int, ahead: Int) {
        precondition(slots > 1 && ahead > 1, "one expert computes while another is read")
        self.slots = Array(repeating: .empty, count: slots)
        stamps = Array(repeating: 0, count: slots)
        free = Array((0..<slots).reversed())
        layerCount = layers
        self.ahead = ahead
    }

    // MARK: The pass

    /// Begins with a layer.
    /// - Parameter uses: the experts in the order in which they are used, and the last row that chose each.
    mutating func begin(layer: Int, _ uses: [(expert: Int, lastRow: Int)]) {
        wanted = uses.map { Key(layer: layer, expert: $0.expert) }
        wantedStamps = Array(repeating: 0, count: uses.count)
        failed = []
        position = 0
        // Of a long prompt, the experts of its last rows are those that the answer is likely to use.
        for rank in uses.indices.sorted(by: { uses[$0].lastRow < uses[$1].lastRow }) {
            clock += 1
            wantedStamps[rank] = clock
            ranks[wanted[rank]] = rank
            if let place = places[wanted[rank]] { stamps[place] = clock }
        }
    }

    /// The expert that the pass needs now; nil behind the last one.
    var head: Key? { position < wanted.count ? wanted[position] : nil }

    /// Moves on: the pass is done with the expert that it needed.
    mutating func advance() { position += 1 }

    /// Ends the pass; what is being read comes to its end.
    mutating func end() {
        wanted = []
        ranks = [:]
        failed = []
        position = 0
    }

    /// The place of an expert that was read.
    func place(of key: Key) -> Int? {
        places[key].flatMap { slots[$0] == .ready(key) ? $0 : nil }
    }

    private func isWanted(_ key: Key) -> Bool { ranks[key].map { $0 >= position } ?? false }

    // MARK: Reads

    /// The next read to make, entered as being made; nil when there is nothing to read, or no place yet.
    mutating func startRead() -> (key: Key, slot: Int)? {
        let end = min(position + ahead, wanted.count)
        guard position < end,
            let rank = (position..<end).first(where: {
                places[wanted[$0]] == nil && !failed.contains(wanted[$0])
            }),
            let slot = free.popLast() ?? giveUp(for: rank)
        else { return nil }
        let key = wanted[rank]
        slots[slot] = .reading(key)
        stamps[slot] = wantedStamps[rank]
        places[key] = slot
        held[key.layer, default: []].append(slot)
        return (key, slot)
    }

    /// Enters the end of a read.
    mutating func finishRead(slot: Int, succeeded: Bool) {
        guard case .reading(let key) = slots[slot] else { return }
        if succeeded {
            slots[slot] = .ready(key)
        } else {
            failed.insert(key)
            clear(slot, key)
            free.append(slot)
        }
    }

    private mutating func clear(_ slot: Int, _ key: Key) {
        slots[slot] = .empty
        places[key] = nil
        held[key.layer]?.removeAll { $0 == slot }
    }

    /// Empties a place for an expert of the pass; nil when none may leave.
    private mutating func giveUp(for rank: Int) -> Int? {
        guard let slot = leastUsed(beside: wanted[rank].layer) ?? laterOne(than: rank),
            case .ready(let key) = slots[slot]
        else { return nil }
        clear(slot, key)
        return slot
    }

    private func canLeave(_ slot: Int) -> Bool {
        if case .ready(let key) = slots[slot] { !isWanted(key) } else { false }
    }

    /// Of the layer that holds most, the place whose expert was used longest ago; of layers that hold as many, the one that the
    /// passes come to last.
    private func leastUsed(beside current: Int) -> Int? {
        var best: (layer: Int, count: Int, distance: Int)?
        for (layer, own) in held where !own.isEmpty {
            let distance = (current - layer + layerCount) % layerCount
            if let best, (own.count, -distance) <= (best.count, -best.distance) { continue }
            if own.contains(where: canLeave) { best = (layer, own.count, distance) }
        }
        guard let best else { return nil }
        return held[best.layer]?.filter(canLeave).min { stamps[$0] < stamps[$1] }
    }

    /// The place of the expert that the pass comes to last, where it waits for one and all places hold later ones.
    private func laterOne(than rank: Int) -> Int? {
        guard rank <= position + 1 else { return nil }
        return wanted[(rank + 1)...].last { place(of: $0) != nil }.flatMap { place(of: $0) }
    }
}
