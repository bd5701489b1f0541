// SPDX-License-Identifier: Apache-2.0
// Which streamed layer is read next, and into which place of the window.

/// The order in which a pass needs the layers.
package enum LayerWalk: Sendable, Hashable {
    /// Ascending.
    case forward
    /// Ascending, then descending.
    case forwardAndBackward
}

/// The content of a window of layers, and the reads that keep it ahead of a pass.
///
/// The window is to hold the next distinct layers that will be needed, as many as it has slots. After a pass the next
/// one is taken to begin with the first layer. So a layer that the turn-around needs again, or the next pass, is not
/// read twice, and no read is ever made for a layer that is not among the next ones.
struct WindowSchedule: Sendable {
    /// What stands in a slot.
    enum Slot: Sendable, Hashable {
        case empty
        /// Being read.
        case reading(Int)
        /// Read.
        case ready(Int)

        var layer: Int? {
            switch self {
            case .empty: nil
            case .reading(let layer), .ready(let layer): layer
            }
        }
    }

    /// Streamed layers, ascending.
    let streamed: [Int]
    /// The window.
    private(set) var slots: [Slot]
    private var walk: [Int] = []
    private var position = 0

    /// An empty window.
    init(streamed: [Int], slots: Int) {
        precondition(slots > 0, "a window without slots")
        self.streamed = streamed
        self.slots = Array(repeating: .empty, count: slots)
    }

    /// Begins a pass; one that was broken off is forgotten.
    mutating func begin(_ walk: LayerWalk) {
        self.walk = walk == .forward ? streamed : streamed + streamed.reversed()
        position = 0
    }

    /// The layer that the pass needs now; nil behind its last one.
    var head: Int? { position < walk.count ? walk[position] : nil }

    /// Moves on: the pass is done with the layer that it needed.
    mutating func advance() { position += 1 }

    /// The next distinct layers, as many as there are slots.
    var needed: [Int] {
        var found: [Int] = []
        for layer in walk[min(position, walk.count)...] + streamed where !found.contains(layer) {
            found.append(layer)
            if found.count == slots.count { break }
        }
        return found
    }

    /// The slot that holds a layer, read or being read.
    func slot(of layer: Int) -> Int? { slots.firstIndex { $0.layer == layer } }

    /// Whether a layer stands in the window, read.
    func isReady(_ layer: Int) -> Bool { slots.contains(.ready(layer)) }

    /// The next read to make, entered as being made; nil when the window holds all that it should.
    mutating func startRead() -> (layer: Int, slot: Int)? {
        let needed = needed
        guard let layer = needed.first(where: { slot(of: $0) == nil }),
            let slot = slots.firstIndex(where: { $0.layer.map { !needed.contains($0) } ?? true })
        else { return nil }
        slots[slot] = .reading(layer)
        return (layer, slot)
    }

    /// Enters the end of a read.
    mutating func finishRead(slot: Int, succeeded: Bool) {
        guard let layer = slots[slot].layer else { return }
        slots[slot] = succeeded ? .ready(layer) : .empty
    }
}
