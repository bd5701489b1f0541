// SPDX-License-Identifier: Apache-2.0
// Python's generator of random numbers, for orders that other tools make with it.

/// The Mersenne Twister (Matsumoto and Nishimura 1998), seeded and asked as Python's `random` does.
struct PythonRandom {
    private static let (count, middle) = (624, 397)
    private var state: [UInt32]
    private var index = count

    /// The generator after `random.seed(seed)`.
    init(seed: UInt32) {
        state = [UInt32](repeating: 0, count: Self.count)
        state[0] = 19_650_218
        for i in 1..<Self.count {
            state[i] = 1_812_433_253 &* (state[i - 1] ^ (state[i - 1] >> 30)) &+ UInt32(i)
        }
        var i = 1
        func next(_ i: inout Int, _ state: inout [UInt32]) {
            i += 1
            guard i >= Self.count else { return }
            state[0] = state[Self.count - 1]
            i = 1
        }
        for _ in 0..<Self.count {
            let last = state[i - 1] ^ (state[i - 1] >> 30)
            state[i] = (state[i] ^ (last &* 1_664_525)) &+ seed
            next(&i, &state)
        }
        for _ in 0..<Self.count - 1 {
            let last = state[i - 1] ^ (state[i - 1] >> 30)
            state[i] = (state[i] ^ (last &* 1_566_083_941)) &- UInt32(i)
            next(&i, &state)
        }
        state[0] = 0x8000_0000
    }

    /// 32 random bits.
    private mutating func next() -> UInt32 {
        if index == Self.count {
            for i in 0..<Self.count {
                let bits =
                    (state[i] & 0x8000_0000) | (state[(i + 1) % Self.count] & 0x7fff_ffff)
                state[i] =
                    state[(i + Self.middle) % Self.count] ^ (bits >> 1)
                    ^ (bits & 1 == 0 ? 0 : 0x9908_b0df)
            }
            index = 0
        }
        var bits = state[index]
        index += 1
        bits ^= bits >> 11
        bits ^= (bits << 7) & 0x9d2c_5680
        bits ^= (bits << 15) & 0xefc6_0000
        return bits ^ (bits >> 18)
    }

    /// A number below a bound of at most 32 bits.
    private mutating func below(_ bound: Int) -> Int {
        let width = Int.bitWidth - bound.leadingZeroBitCount
        while true {
            let number = Int(next() >> UInt32(32 - width))
            if number < bound { return number }
        }
    }

    /// Puts items in the order of `random.shuffle`.
    mutating func shuffle<T>(_ items: inout [T]) {
        for last in stride(from: items.count - 1, to: 0, by: -1) {
            items.swapAt(last, below(last + 1))
        }
    }
}
