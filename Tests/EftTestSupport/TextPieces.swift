// SPDX-License-Identifier: Apache-2.0
// Texts cut into pieces, as they come from a model.
import EftTensor

/// Ways to cut a text.
package enum TextPieces {
    /// All ways to cut a text in two, the way to cut it everywhere, and some random ones.
    package static func pieces(of text: String, _ random: inout SplitMix64) -> [[String]] {
        let scalars = Array(text.unicodeScalars)
        func string(_ part: ArraySlice<Unicode.Scalar>) -> String {
            String(String.UnicodeScalarView(part))
        }
        var result = [scalars.map { String($0) }]
        for place in scalars.indices.prefix(2000) {
            result.append([string(scalars[..<place]), string(scalars[place...])])
        }
        for _ in 0..<20 {
            var pieces: [String] = []
            var start = 0
            while start < scalars.count {
                let end = min(scalars.count, start + Int.random(in: 1...9, using: &random))
                pieces.append(string(scalars[start..<end]))
                start = end
            }
            result.append(pieces)
        }
        return result
    }
}
