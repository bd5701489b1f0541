// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding (Su et al. 2021) and its scalings, as transformers computes them.
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// How rotary frequencies are stretched for contexts longer than the model was trained on.
package enum RotaryScaling: Sendable, Hashable {
    case none
    /// Positions divided by a factor.
    case linear(factor: Double)
    /// NTK-aware: the base grows with the sequence once it is longer than `originalContext`.
    case dynamic(factor: Double, originalContext: Int)
    /// Llama 3: low frequencies stretched, high ones kept, a smooth passage between.
    case llama3(
        factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double,
        originalContext: Int)
    /// YaRN (Peng et al. 2023).
    case yarn(YaRN)
    /// LongRoPE (Ding et al. 2024).
    case long(Long)

    /// Settings of LongRoPE: each frequency is divided by a factor of its own.
    package struct Long: Sendable, Hashable {
        /// Of sequences within the original context, one number a frequency.
        package var shortFactors: [Double]
        /// Of longer sequences.
        package var longFactors: [Double]
        package var originalContext: Int
        /// Factor of cosines and sines.
        package var attentionFactor: Double

        /// Makes settings.
        package init(
            shortFactors: [Double], longFactors: [Double], originalContext: Int,
            attentionFactor: Double
        ) {
            self.shortFactors = shortFactors
            self.longFactors = longFactors
            self.originalContext = originalContext
            self.attentionFactor = attentionFactor
        }
    }

    /// Settings of YaRN.
    package struct YaRN: Sendable, Hashable {
        package var factor: Double
        package var originalContext: Int
        package var betaFast: Double
        package var betaSlow: Double
        /// Factor of cosines and sines.
        package var attentionFactor: Double
        /// Whether the ramp's ends are rounded outwards.
        package var truncates: Bool

        /// Makes settings; the factor of cosines and sines is 0.1 ln(factor) + 1 when not given.
        package init(
            factor: Double, originalContext: Int, betaFast: Double = 32, betaSlow: Double = 1,
            attentionFactor: Double? = nil, truncates: Bool = true
        ) {
            self.factor = factor
            self.originalContext = originalContext
            self.betaFast = betaFast
            self.betaSlow = betaSlow
            self.attentionFactor = attentionFactor ?? RotaryScaling.yarnScale(factor, 1)
            self.truncates = truncates
        }
    }
}

extension RotaryScaling {
    /// YaRN's attention temperature for a stretch: 0.1 m ln(factor) + 1.
    package static func yarnScale(_ factor: Double, _ m: Double) -> Double {
        factor <= 1 ? 1 : 0.1 * m * log(factor) + 1
    }
}

/// The rotary embedding of a model: makes tables of cosines and sines for positions.
package struct RotaryEmbedding: Sendable, Hashable {
    /// Numbers of a head that rotate; even.
    package let headDim: Int
    /// Base of the frequencies.
    package let theta: Double
    /// Stretching.
    package let scaling: RotaryScaling
    /// Whether neighbours rotate together, and not numbers half a head apart.
    package let interleaved: Bool

    /// Makes an embedding.
    package init(
        headDim: Int, theta: Double, scaling: RotaryScaling, interleaved: Bool = false
    ) {
        precondition(headDim > 0 && headDim % 2 == 0)
        self.headDim = headDim
        self.theta = theta
        self.scaling = scaling
        self.interleaved = interleaved
    }

    /// Factor of cosines and sines.
    private var amplitude: Double {
        switch scaling {
        case .yarn(let yarn): yarn.attentionFactor
        case .long(let long): long.attentionFactor
        case .none, .linear, .dynamic, .llama3: 1
        }
    }

    /// The part of a sequence's length that rotations depend on; 0 where they do not.
    package func lengthThatMatters(_ length: Int) -> Int {
        switch scaling {
        case .dynamic(_, let context): length > context ? length : 0
        case .long(let long): length > long.originalContext ? long.originalContext + 1 : 0
        case .none, .linear, .llama3, .yarn: 0
        }
    }

    /// The D/2 frequencies for a sequence that will have `length` tokens (which matters for some scalings only).
    package func inverseFrequencies(length: Int) -> [Float] {
        switch scaling {
        case .none: return plain(theta: theta)
        case .linear(let factor): return plain(theta: theta).map { $0 / Float(factor) }
        case .dynamic(let factor, let context):
            let reached = Double(max(length, context))
            let dim = Double(headDim)
            let stretch = factor * reached / Double(context) - (factor - 1)
            return plain(theta: theta * pow(stretch, dim / (dim - 2)))
        case .llama3(let factor, let low, let high, let context):
            return plain(theta: theta).map { frequency in
                llama3(Double(frequency), factor, low, high, Double(context))
            }
        case .yarn(let yarn): return self.yarn(yarn)
        case .long(let long):
            let factors = length > long.originalContext ? long.longFactors : long.shortFactors
            return zip(plain(theta: theta), factors).map { Float(Double($0) / $1) }
        }
    }

    private func plain(theta: Double) -> [Float] {
        (0..<headDim / 2).map { index in
            1 / Float(pow(theta, Double(2 * index) / Double(headDim)))
        }
    }

    private func llama3(
        _ frequency: Double, _ factor: Double, _ low: Double, _ high: Double, _ context: Double
    ) -> Float {
        let wavelength = 2 * Double.pi / frequency
        if wavelength < context / high { return Float(frequency) }
        if wavelength > context / low { return Float(frequency / factor) }
        let smooth = (context / wavelength - low) / (high - low)
        return Float((1 - smooth) * frequency / factor + smooth * frequency)
    }

    private func yarn(_ yarn: RotaryScaling.YaRN) -> [Float] {
        let dim = Double(headDim)
        func correction(_ rotations: Double) -> Double {
            dim * log(Double(yarn.originalContext) / (rotations * 2 * Double.pi)) / (2 * log(theta))
        }
        var low = correction(yarn.betaFast)
        var high = correction(yarn.betaSlow)
        if yarn.truncates {
            low = low.rounded(.down)
            high = high.rounded(.up)
        }
        low = max(low, 0)
        high = min(high, dim - 1)
        if low == high { high += 0.001 }
        return plain(theta: theta).enumerated().map { index, frequency in
            let ramp = min(max((Double(index) - low) / (high - low), 0), 1)
            let kept = 1 - ramp
            let stretched = Double(frequency) / yarn.factor
            return Float(stretched * (1 - kept) + Double(frequency) * kept)
        }
    }

    /// Memory for the tables of `rows` rows.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package func tables(rows: Int, ledger: MemoryLedger?) throws(TensorError) -> RotaryTables {
        RotaryTables(
            cosines: try Matrix(rows: rows, columns: headDim / 2, ledger: ledger),
            sines: try Matrix(rows: rows, columns: headDim / 2, ledger: ledger),
            interleaved: interleaved)
    }

    /// Fills tables `[T][D/2]` for rows that stand at consecutive positions from `firstPosition`.
    /// - Parameter length: tokens that the sequence will have, for dynamic scaling.
    package func fill(
        _ tables: RotaryTables, rows: Range<Int>, firstPosition: Int, length: Int
    ) {
        let half = headDim / 2
        let (cosines, sines) = (tables.cosines, tables.sines)
        precondition(cosines.columns == half && tables.interleaved == interleaved)
        let frequencies = inverseFrequencies(length: length)
        let scale = Float(amplitude)
        for (offset, row) in rows.enumerated() {
            // Angles are formed in f32, as the references do; the table then agrees to the last bits.
            let position = Float(firstPosition + offset)
            for index in 0..<half {
                let angle = position * frequencies[index]
                cosines.pointer[row * half + index] = cosf(angle) * scale
                sines.pointer[row * half + index] = sinf(angle) * scale
            }
        }
    }
}
