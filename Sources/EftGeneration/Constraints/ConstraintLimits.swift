// SPDX-License-Identifier: Apache-2.0
// How large and how costly a constraint may be.

/// Bounds on compiling and applying one constraint; what exceeds them is refused with `tooComplex`.
package struct ConstraintLimits: Sendable, Hashable {
    /// Bytes of the constraint's source text.
    package var sourceBytes = 1 << 20
    /// Nesting of schemas, groups and documents in the source.
    package var nesting = 64
    /// States of the automaton.
    package var states = 200_000
    /// Transitions of the automaton.
    package var transitions = 1_000_000
    /// Rules that wait for the end of another one; bounds how deep the text nests.
    package var depth = 128
    /// Elementary steps to compile; a few million take 0.1 s.
    package var compileSteps = 8_000_000
    /// Elementary steps to fill one mask or to take one token.
    package var steps = 4_000_000
    /// Elementary steps for all masks of one sequence together.
    package var sequenceSteps = 400_000_000
    /// Bytes of remembered states and masks of one constraint.
    package var cacheBytes = 32 << 20

    /// Makes the usual limits.
    package init() {}
}

/// Counts elementary steps down.
struct StepBudget {
    private(set) var left: Int

    init(_ steps: Int) { left = steps }

    /// Takes steps away without looking how many are left.
    mutating func charge(_ steps: Int) { left -= steps }

    /// Takes steps away.
    /// - Throws: `ConstraintError` (`tooComplex`) when none are left.
    mutating func spend(_ steps: Int = 1) throws(ConstraintError) {
        left -= steps
        if left < 0 {
            throw ConstraintError(
                .tooComplex, "the constraint takes too many steps; make it simpler")
        }
    }
}
