// SPDX-License-Identifier: Apache-2.0
// How long something will take on this machine, and what it will wait for.

/// An estimated time.
package struct StageEstimate: Sendable, Hashable {
    /// What takes most of the time.
    package enum Limit: String, Sendable, CaseIterable {
        /// Reading weights, keys and values from memory.
        case memory = "memory bandwidth"
        /// Computing, unpacking of codes included.
        case arithmetic
        /// Reading or writing files.
        case disk
    }

    /// Seconds.
    package var seconds: Double
    /// Tokens of all sequences by second, where tokens are what is worked on.
    package var tokensPerSecond: Double?
    /// What takes most of the time.
    package var limit: Limit

    /// Makes an estimate.
    package init(seconds: Double, tokensPerSecond: Double? = nil, limit: Limit) {
        self.seconds = seconds
        self.tokensPerSecond = tokensPerSecond
        self.limit = limit
    }
}

/// Seconds of computation, by what each part of it waits for.
struct ComputeCost: Hashable {
    var memory = 0.0
    var arithmetic = 0.0

    var seconds: Double { memory + arithmetic }

    static func + (a: ComputeCost, b: ComputeCost) -> ComputeCost {
        ComputeCost(memory: a.memory + b.memory, arithmetic: a.arithmetic + b.arithmetic)
    }

    static func += (a: inout ComputeCost, b: ComputeCost) { a = a + b }

    static func * (cost: ComputeCost, factor: Double) -> ComputeCost {
        ComputeCost(memory: cost.memory * factor, arithmetic: cost.arithmetic * factor)
    }

    /// The estimate of this computation beside `disk` seconds of reading at the same time.
    func estimate(tokens: Int? = nil, disk: Double = 0) -> StageEstimate {
        let total = max(seconds, disk)
        let limit: StageEstimate.Limit =
            disk > seconds ? .disk : memory >= arithmetic ? .memory : .arithmetic
        return StageEstimate(
            seconds: total, tokensPerSecond: tokens.map { Double($0) / total }, limit: limit)
    }
}
