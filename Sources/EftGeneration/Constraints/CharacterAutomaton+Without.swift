// SPDX-License-Identifier: Apache-2.0
// Texts in which some words do not occur.

extension CharacterAutomaton {
    /// All texts in which none of some words, each of them not empty, occurs.
    /// - Throws: `ConstraintError` (`tooComplex`).
    init(
        withoutAny words: [[UInt32]], budget: inout StepBudget
    ) throws(ConstraintError) {
        var children: [[UInt32: Int]] = [[:]]
        var isEnd = [false]
        for word in words {
            var state = 0
            for scalar in word {
                try budget.spend()
                if let next = children[state][scalar] {
                    state = next
                    continue
                }
                children[state][scalar] = children.count
                state = children.count
                children.append([:])
                isEnd.append(false)
            }
            isEnd[state] = true
        }
        // Level by level: where each state goes on every scalar that is named on the way to its longest suffix.
        var suffix = [Int](repeating: 0, count: children.count)
        var moves: [[UInt32: Int]] = .init(repeating: [:], count: children.count)
        var order = [0]
        var next = 0
        while next < order.count {
            let state = order[next]
            next += 1
            if state != 0 {
                moves[state] = moves[suffix[state]]
                isEnd[state] = isEnd[state] || isEnd[suffix[state]]
            }
            try budget.spend(1 + moves[state].count)
            for (scalar, child) in children[state] {
                suffix[child] = state == 0 ? 0 : moves[state][scalar] ?? 0
                moves[state][scalar] = child
                order.append(child)
            }
        }
        self.init(stateCount: children.count)
        for state in order where !isEnd[state] {
            let named = ScalarSet(moves[state].keys.map { $0...$0 })
            add(Edge(set: named.inverted, target: 0), from: state)
            for (scalar, target) in moves[state].sorted(by: { $0.key < $1.key })
            where !isEnd[target] {
                add(Edge(set: ScalarSet([scalar...scalar]), target: target), from: state)
            }
        }
    }
}
