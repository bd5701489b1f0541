// SPDX-License-Identifier: Apache-2.0
// Setting most numbers of an optimizer's state to zero.
import EftTensor

extension UpdateState {
    /// Sets the numbers to zero whose magnitude is not above a quantile of all magnitudes, taken as PyTorch takes it: between two
    /// neighbours in a straight line, in f32.
    func pruneSmallest(_ count: Int, ratio: Double) {
        guard count > 0 else { return }
        let place = Float(ratio) * Float(count - 1)
        let lower = min(max(Int(place), 0), count - 1)
        let share = place - Float(lower)
        let low = magnitude(ofRank: lower, count)
        let high = share > 0 ? magnitude(ofRank: min(lower + 1, count - 1), count) : low
        let threshold =
            share < 0.5 ? low + share * (high - low) : high - (high - low) * (1 - share)
        clear(count) { !(abs($1) > threshold) }
    }

    /// Sets numbers to zero with a probability.
    func pruneAtRandom(_ count: Int, ratio: Double, seed: UInt64) {
        var numbers = SplitMix64(seed: seed)
        clear(count) { _, _ in
            // 24 bits, as PyTorch draws numbers in f32.
            Float(numbers.next() >> 40) * 0x1p-24 <= Float(ratio)
        }
    }

    /// The magnitude with so many below it, found by counting the parts of their bits: without a copy to sort.
    private func magnitude(ofRank rank: Int, _ count: Int) -> Float {
        // Without their sign, numbers of f32 are ordered as their bits are.
        var (found, known, rest) = (UInt32(0), UInt32(0), rank)
        for (shift, width) in [(UInt32(20), UInt32(12)), (10, 10), (0, 10)] {
            var counts = [Int](repeating: 0, count: 1 << Int(width))
            let mask = (UInt32(1) << width) - 1
            forEach(count) { _, value in
                let bits = value.magnitude.bitPattern
                guard bits & known == found else { return }
                counts[Int((bits >> shift) & mask)] += 1
            }
            var part = 0
            while part + 1 < counts.count, rest >= counts[part] {
                rest -= counts[part]
                part += 1
            }
            found |= UInt32(part) << shift
            known |= mask << shift
        }
        return Float(bitPattern: found)
    }
}
