// SPDX-License-Identifier: Apache-2.0
// Random numbers that are the same for the same seed everywhere.

/// Numbers for shuffling (SplitMix64, Steele et al. 2014).
struct ShuffleGenerator: RandomNumberGenerator {
    private var state: UInt64

    /// Starts a sequence that is unrelated to that of any other seed or stream.
    init(seed: UInt64, stream: UInt64 = 0) { state = mixedSeed(seed, stream) }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return finalized(state)
    }
}

/// A seed made of several numbers, no two of which may stand for each other.
func mixedSeed(_ parts: UInt64...) -> UInt64 {
    parts.reduce(0x6A09_E667_F3BC_C909) { finalized($0 ^ finalized($1 &+ 0x9E37_79B9_7F4A_7C15)) }
}

private func finalized(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
}
