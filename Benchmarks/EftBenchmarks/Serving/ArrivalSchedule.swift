// SPDX-License-Identifier: Apache-2.0
// When requests are sent.
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// Times at which requests arrive.
package enum ArrivalSchedule {
    /// Samples the times of a number of requests, in seconds from the start.
    ///
    /// Gaps have a gamma distribution of shape `burstiness`: 1 is a Poisson process, less comes in bursts, more is steadier.
    /// They are scaled so that the last request comes when the rate says.
    /// - Parameters:
    ///   - rate: requests a second; nil to send all at once.
    ///   - burstiness: above 0.
    package static func times(
        _ count: Int, rate: Double?, burstiness: Double = 1, seed: UInt64 = 0
    ) -> [Double] {
        guard count > 0, let rate, rate > 0, burstiness > 0 else {
            return Array(repeating: 0, count: max(count, 0))
        }
        var random = SplitMix64(seed: seed)
        var time = 0.0
        let times = (0..<count).map { _ in
            time += gamma(shape: burstiness, &random) / (rate * burstiness)
            return time
        }
        guard time > 0, time.isFinite else { return (1...count).map { Double($0) / rate } }
        let scale = Double(count) / rate / time
        return times.map { $0 * scale }
    }

    /// A sample from a gamma distribution of scale 1 (Marsaglia and Tsang, 2000).
    static func gamma(shape: Double, _ random: inout SplitMix64) -> Double {
        guard shape >= 1 else {
            let power = pow(open(&random), 1 / shape)
            return gamma(shape: shape + 1, &random) * power
        }
        let d = shape - 1.0 / 3
        let c = 1 / (9 * d).squareRoot()
        while true {
            let x = normal(&random)
            let root = 1 + c * x
            guard root > 0 else { continue }
            let v = root * root * root
            if log(open(&random)) < 0.5 * x * x + d - d * v + d * log(v) { return d * v }
        }
    }

    /// A sample from the normal distribution (Box and Muller).
    private static func normal(_ random: inout SplitMix64) -> Double {
        let radius = (-2 * log(open(&random))).squareRoot()
        return radius * cos(2 * .pi * open(&random))
    }

    /// A number above 0 and at most 1.
    private static func open(_ random: inout SplitMix64) -> Double {
        Double((random.next() >> 11) + 1) * 0x1p-53
    }
}
