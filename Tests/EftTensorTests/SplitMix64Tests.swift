// SPDX-License-Identifier: Apache-2.0
import EftTensor
import Testing

struct SplitMix64Tests {
    @Test func `gives the numbers of the published generator`() {
        // From the reference implementation at prng.di.unimi.it, seed 1234567.
        var generator = SplitMix64(seed: 1_234_567)
        let numbers = (0..<3).map { _ in generator.next() }
        #expect(
            numbers == [
                6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
            ])
        #expect(SplitMix64.first(of: 1_234_567) == numbers[0])
    }

    @Test func `durations are seconds`() {
        #expect(Duration.milliseconds(1500).seconds == 1.5)
        #expect(Duration.nanoseconds(-1).seconds == -1e-9)
    }
}
