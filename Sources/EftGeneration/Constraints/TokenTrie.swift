// SPDX-License-Identifier: Apache-2.0
// All tokens as a tree of bytes.

/// A tree of the texts of tokens in flat arrays, each node before its children; node 0 is the root.
struct TokenTrie: Sendable {
    /// The byte that leads to each node.
    let bytes: [UInt8]
    /// How many bytes lead to each node.
    let depths: [Int32]
    /// The first node that is not below a node.
    let ends: [Int32]
    /// How many bytes lead to the deepest node at or below each node.
    let heights: [Int32]
    /// Where the tokens that end in a node begin in `tokens`; one more entry than nodes.
    let tokenStarts: [Int32]
    /// Token ids by the node in which they end.
    let tokens: [Int32]
    /// The most bytes of a token.
    let maximumDepth: Int

    /// Number of nodes.
    var nodeCount: Int { bytes.count }

    /// Makes a tree of texts, none of them empty.
    init(_ texts: [(id: Int32, text: [UInt8])]) {
        let sorted = texts.sorted {
            $0.text == $1.text ? $0.id < $1.id : $0.text.lexicographicallyPrecedes($1.text)
        }
        var (bytes, depths, tokenStarts): ([UInt8], [Int32], [Int32]) = ([0], [0], [0])
        var tokens: [Int32] = []
        var last: [UInt8] = []
        var deepest = 0
        for entry in sorted {
            var shared = 0
            while shared < last.count, shared < entry.text.count, last[shared] == entry.text[shared]
            {
                shared += 1
            }
            for position in shared..<entry.text.count {
                bytes.append(entry.text[position])
                depths.append(Int32(truncatingIfNeeded: position + 1))
                tokenStarts.append(Int32(truncatingIfNeeded: tokens.count))
            }
            tokens.append(entry.id)
            last = entry.text
            deepest = max(deepest, last.count)
        }
        tokenStarts.append(Int32(truncatingIfNeeded: tokens.count))
        var ends = [Int32](
            repeating: Int32(truncatingIfNeeded: bytes.count), count: bytes.count)
        var (open, parents): ([Int], [Int]) = ([], [])
        for node in bytes.indices {
            while let above = open.last, depths[above] >= depths[node] {
                ends[above] = Int32(truncatingIfNeeded: node)
                open.removeLast()
            }
            parents.append(open.last ?? 0)
            open.append(node)
        }
        var heights = depths
        for node in bytes.indices.dropFirst().reversed() {
            heights[parents[node]] = max(heights[parents[node]], heights[node])
        }
        self.bytes = bytes
        self.depths = depths
        self.ends = ends
        self.heights = heights
        self.tokenStarts = tokenStarts
        self.tokens = tokens
        maximumDepth = deepest
    }
}
