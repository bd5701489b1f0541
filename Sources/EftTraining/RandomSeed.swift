// SPDX-License-Identifier: Apache-2.0
// Random numbers that are the same for the same seed everywhere.
import EftTensor

/// Numbers for shuffling.
struct ShuffleGenerator: RandomNumberGenerator {
    private var numbers: SplitMix64

    /// Starts a sequence that is unrelated to that of any other seed or stream.
    init(seed: UInt64, stream: UInt64 = 0) { numbers = SplitMix64(seed: mixedSeed(seed, stream)) }

    mutating func next() -> UInt64 { numbers.next() }
}

/// A seed made of several numbers, no two of which may stand for each other.
func mixedSeed(_ parts: UInt64...) -> UInt64 {
    parts.reduce(0x6A09_E667_F3BC_C909) {
        SplitMix64.finalized($0 ^ SplitMix64.first(of: $1))
    }
}
