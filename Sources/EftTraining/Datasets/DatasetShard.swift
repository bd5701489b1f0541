// SPDX-License-Identifier: Apache-2.0
// One of several equal parts of a data set: the keys `shards` and `shards_idx`.
import EftConfig

/// A part of a data set's rows, drawn by the seed.
package struct DatasetShard: Sendable, Hashable {
    private let count: Int
    private let index: Int

    /// Reads the keys of an entry of `datasets`; nil when it is to be used whole.
    /// - Throws: `ConfigError` for a part that is not there.
    init?(_ entry: ConfigCursor) throws(ConfigError) {
        guard let count = try entry.lenientInt("shards", in: 1...Int(Int32.max)) else { return nil }
        self.count = count
        index = try entry.lenientInt("shards_idx", in: 0...count - 1) ?? 0
    }

    /// The places that belong to the part among `rows`, in the order of the draw.
    func places(of rows: Range<Int>, seed: UInt64) -> [Int] {
        var generator = ShuffleGenerator(seed: seed, stream: .max - 1)
        let places = Array(rows).shuffled(using: &generator)
        let (size, rest) = places.count.quotientAndRemainder(dividingBy: count)
        let first = size * index + min(index, rest)
        return Array(places[first..<first + size + (index < rest ? 1 : 0)])
    }
}
