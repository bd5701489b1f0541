// SPDX-License-Identifier: Apache-2.0
// All tokens that a text begins with, found in one walk.

/// A trie of the texts of a vocabulary.
///
/// The children of a node stand side by side in the order of their bytes.
struct TokenTrie: Sendable {
    private struct Node {
        /// Where the children begin, and how many there are.
        var first: Int32 = 0
        var count: Int32 = 0
        /// The token that ends here, or -1.
        var id: Int32 = -1
    }

    private var nodes: [Node] = [Node()]
    /// The byte that leads to each node.
    private var labels: [UInt8] = [0]
    /// The child of the root for each byte, or 0.
    private var begins = [Int32](repeating: 0, count: 256)

    /// A token on its way into the trie.
    private struct Entry {
        /// The first eight bytes, the first one highest.
        let head: UInt64
        let text: ArraySlice<UInt8>
        let id: Int32

        /// A byte of the text; entries of one node all have it.
        func byte(at place: Int) -> UInt8 { text[text.startIndex + place] }
    }

    /// Makes the trie of all tokens that have a text.
    init(_ vocabulary: Vocabulary) {
        let entries = Self.sorted(vocabulary)
        // For each node the entries below it, and how many of their bytes led to it.
        var spans: [(entries: Range<Int>, depth: Int)] = [(entries.indices, 0)]
        var node = 0
        while node < spans.count {
            let depth = spans[node].depth
            var rest = spans[node].entries
            if let first = rest.first, entries[first].text.count == depth {
                nodes[node].id = entries[first].id
                rest = rest.dropFirst()
            }
            nodes[node].first = Int32(truncatingIfNeeded: nodes.count)
            while let first = rest.first {
                let byte = entries[first].byte(at: depth)
                let end = rest.first { entries[$0].byte(at: depth) != byte } ?? rest.upperBound
                nodes.append(Node())
                labels.append(byte)
                spans.append((first..<end, depth + 1))
                rest = end..<rest.upperBound
            }
            nodes[node].count = Int32(truncatingIfNeeded: nodes.count) - nodes[node].first
            node += 1
        }
        for place in 0..<Int(nodes[0].count) {
            let child = nodes[0].first + Int32(truncatingIfNeeded: place)
            begins[Int(labels[Int(child)])] = child
        }
    }

    private static func sorted(_ vocabulary: Vocabulary) -> [Entry] {
        var entries: [Entry] = []
        entries.reserveCapacity(vocabulary.count)
        for id in 0..<vocabulary.idBound {
            let id = Int32(truncatingIfNeeded: id)
            guard let text = vocabulary.token(for: id), !text.isEmpty else { continue }
            var head: UInt64 = 0
            for place in 0..<8 { head = head << 8 | UInt64(text.dropFirst(place).first ?? 0) }
            entries.append(Entry(head: head, text: text, id: id))
        }
        entries.sort { one, other in
            one.head != other.head
                ? one.head < other.head : one.text.lexicographicallyPrecedes(other.text)
        }
        return entries
    }

    /// Calls `body` with each token that the text has at a place, the shortest first, and where it ends.
    @inline(__always)
    func forEachPrefix(
        of text: UnsafeBufferPointer<UInt8>, at start: Int,
        _ body: (_ id: Int32, _ end: Int) -> Void
    ) {
        guard start < text.count else { return }
        var node = Int(begins[Int(text[start])])
        var position = start &+ 1
        while node != 0 {
            if nodes[node].id >= 0 { body(nodes[node].id, position) }
            guard position < text.count else { return }
            node = child(of: node, text[position])
            position &+= 1
        }
    }

    /// The child of a node for a byte, or 0.
    @inline(__always)
    private func child(of node: Int, _ byte: UInt8) -> Int {
        var low = Int(nodes[node].first)
        let end = low &+ Int(nodes[node].count)
        var high = end
        while low < high {
            let middle = (low &+ high) >> 1
            if labels[middle] < byte { low = middle &+ 1 } else { high = middle }
        }
        return low < end && labels[low] == byte ? low : 0
    }
}
