// SPDX-License-Identifier: Apache-2.0
// Rules that begin with themselves, turned into repetitions.

/// Rewrites `a ::= a x | y` as `a ::= y x*`, which admits the same texts.
enum LeftRecursion {
    /// More ways to begin than this are not looked at.
    private static let maximumWays = 10_000

    /// The same rule without alternatives that begin with itself.
    /// - Throws: `ConstraintError` (`tooComplex`).
    static func removed(
        from node: GrammarNode, of rule: RuleID, budget: inout StepBudget
    ) throws(ConstraintError) -> GrammarNode {
        guard begins(node, with: rule) else { return node }
        var tails: [GrammarNode] = []
        var others: [GrammarNode] = []
        var pending = [[node]]
        while var way = pending.popLast() {
            try budget.spend(1 + way.count)
            guard pending.count < maximumWays else {
                throw ConstraintError(.tooComplex, "a rule begins with itself in too many ways")
            }
            guard let first = way.first, begins(first, with: rule) else {
                others.append(.sequence(way))
                continue
            }
            way.removeFirst()
            switch first {
            case .rule: if !way.isEmpty { tails.append(.sequence(way)) }
            case .sequence(let parts): pending.append(parts + way)
            case .choice(let parts): for part in parts.reversed() { pending.append([part] + way) }
            case .repeated(let part, let minimum, let maximum):
                // The first time on its own.
                if minimum == 0 { pending.append(way) }
                let rest = GrammarNode.repeated(
                    part, minimum: max(minimum - 1, 0), maximum: maximum.map { max($0 - 1, 0) })
                if maximum != 0 { pending.append([part, rest] + way) }
            default: others.append(.sequence([first] + way))
            }
        }
        return .sequence([.choice(others), GrammarNode.choice(tails).star])
    }

    /// Whether an expression may begin with the rule as it is written.
    private static func begins(_ node: GrammarNode, with rule: RuleID) -> Bool {
        switch node {
        case .rule(let called): called == rule
        case .sequence(let parts): parts.first.map { begins($0, with: rule) } ?? false
        case .choice(let parts): parts.contains { begins($0, with: rule) }
        case .repeated(let part, _, _): begins(part, with: rule)
        default: false
        }
    }
}
