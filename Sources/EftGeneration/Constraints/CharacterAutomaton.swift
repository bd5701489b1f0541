// SPDX-License-Identifier: Apache-2.0
// Nondeterministic automata over scalars, for texts that must satisfy several conditions.

/// An automaton over scalars without empty transitions.
struct CharacterAutomaton: Sendable {
    /// A transition.
    struct Edge: Sendable {
        let set: ScalarSet
        let target: Int
    }

    /// The transitions of each state; state 0 is the first.
    private(set) var edges: [[Edge]] = [[]]
    /// Whether the text may end in a state.
    private(set) var accepts: [Bool] = [false]

    private init() {}

    /// States without transitions, in all of which the text may end.
    init(stateCount: Int) {
        edges = .init(repeating: [], count: max(stateCount, 1))
        accepts = .init(repeating: true, count: max(stateCount, 1))
    }

    mutating func add(_ edge: Edge, from state: Int) { edges[state].append(edge) }

    private mutating func addState(accepts accepted: Bool) -> Int {
        edges.append([])
        accepts.append(accepted)
        return edges.count - 1
    }

    // MARK: Kinds

    /// Texts of `minimum` to `maximum` scalars.
    /// - Throws: `ConstraintError` (`tooComplex`).
    init(
        lengths minimum: Int, _ maximum: Int?, budget: inout StepBudget
    ) throws(ConstraintError) {
        accepts[0] = minimum <= 0
        var last = 0
        let bound = maximum ?? minimum
        while last < bound {
            try budget.spend()
            let next = addState(accepts: last + 1 >= minimum)
            edges[last].append(Edge(set: .all, target: next))
            last = next
        }
        if maximum == nil { edges[last].append(Edge(set: .all, target: last)) }
    }

    /// All texts but some.
    /// - Throws: `ConstraintError` (`tooComplex`).
    init(
        allBut words: [[UInt32]], budget: inout StepBudget
    ) throws(ConstraintError) {
        accepts[0] = true
        var children: [[UInt32: Int]] = [[:]]
        let free = addState(accepts: true)
        children.append([:])
        for word in words {
            var state = 0
            for scalar in word {
                try budget.spend()
                if let next = children[state][scalar] {
                    state = next
                } else {
                    let next = addState(accepts: true)
                    children.append([:])
                    children[state][scalar] = next
                    state = next
                }
            }
            accepts[state] = false
        }
        for state in edges.indices {
            let named = ScalarSet(children[state].keys.map { $0...$0 })
            let rest = named.inverted
            edges[state].append(Edge(set: rest, target: free))
            for (scalar, next) in children[state].sorted(by: { $0.key < $1.key }) {
                edges[state].append(Edge(set: ScalarSet([scalar...scalar]), target: next))
            }
        }
    }

    // MARK: Expressions

    /// The texts of an expression that calls no rule.
    /// - Throws: `ConstraintError` (`tooComplex`).
    init(
        _ node: GrammarNode, maximumStates: Int, budget: inout StepBudget
    ) throws(ConstraintError) {
        var builder = Thompson(maximumStates: maximumStates, budget: budget)
        let (start, end) = (try builder.state(), try builder.state())
        try builder.add(node, from: start, to: end)
        // Each state takes over what its empty transitions lead to.
        edges = []
        accepts = []
        var seen = [Int](repeating: -1, count: builder.edges.count)
        for state in builder.edges.indices {
            var (all, accepted, pending): ([Edge], Bool, [Int]) = ([], false, [state])
            seen[state] = state
            while let reached = pending.popLast() {
                try builder.budget.spend(1 + builder.edges[reached].count)
                all += builder.edges[reached]
                if reached == end { accepted = true }
                for next in builder.jumps[reached] where seen[next] != state {
                    seen[next] = state
                    pending.append(next)
                }
            }
            edges.append(all)
            accepts.append(accepted)
        }
        budget = builder.budget
        self = try withoutUnreachable(&budget)
    }

    /// Texts that satisfy both.
    /// - Throws: `ConstraintError` (`tooComplex`).
    func intersection(
        _ other: CharacterAutomaton, maximumStates: Int, budget: inout StepBudget
    ) throws(ConstraintError) -> CharacterAutomaton {
        var result = CharacterAutomaton()
        result.accepts[0] = accepts[0] && other.accepts[0]
        var numbers: [[Int]: Int] = [[0, 0]: 0]
        var pairs = [(0, 0)]
        var next = 0
        while next < pairs.count {
            let (left, right) = pairs[next]
            for a in edges[left] {
                for b in other.edges[right] {
                    try budget.spend(1 + min(a.set.ranges.count, b.set.ranges.count))
                    let set = a.set.intersection(b.set)
                    if set.isEmpty { continue }
                    let key = [a.target, b.target]
                    let target: Int
                    if let known = numbers[key] {
                        target = known
                    } else {
                        target = result.addState(
                            accepts: accepts[a.target] && other.accepts[b.target])
                        guard target < maximumStates else { throw Thompson.tooLarge }
                        numbers[key] = target
                        pairs.append((a.target, b.target))
                    }
                    result.edges[next].append(Edge(set: set, target: target))
                }
            }
            next += 1
        }
        return result
    }

    /// Whether a text is one of the automaton's.
    /// - Throws: `ConstraintError` (`tooComplex`).
    func takes(_ text: [UInt32], budget: inout StepBudget) throws(ConstraintError) -> Bool {
        var states: Set<Int> = [0]
        for scalar in text {
            var next: Set<Int> = []
            for state in states {
                try budget.spend(1 + edges[state].count)
                for edge in edges[state] where edge.set.contains(scalar) {
                    next.insert(edge.target)
                }
            }
            states = next
        }
        return states.contains { accepts[$0] }
    }

    /// Whether there is no text, given that all states can be reached.
    var isEmpty: Bool { !accepts.contains(true) }

    private func withoutUnreachable(
        _ budget: inout StepBudget
    ) throws(ConstraintError) -> CharacterAutomaton {
        var numbers = [Int](repeating: -1, count: edges.count)
        var order = [0]
        numbers[0] = 0
        var next = 0
        while next < order.count {
            for edge in edges[order[next]] where numbers[edge.target] < 0 {
                numbers[edge.target] = order.count
                order.append(edge.target)
            }
            try budget.spend(1 + edges[order[next]].count)
            next += 1
        }
        var result = CharacterAutomaton()
        result.edges = order.map { edges[$0].map { Edge(set: $0.set, target: numbers[$0.target]) } }
        result.accepts = order.map { accepts[$0] }
        return result
    }
}

/// Builds an automaton with empty transitions out of an expression.
private struct Thompson {
    private(set) var edges: [[CharacterAutomaton.Edge]] = []
    private(set) var jumps: [[Int]] = []
    var budget: StepBudget
    private let maximumStates: Int

    static let tooLarge = ConstraintError(
        .tooComplex, "the pattern needs too many states; use smaller repetitions")

    init(maximumStates: Int, budget: StepBudget) {
        self.maximumStates = maximumStates
        self.budget = budget
    }

    mutating func state() throws(ConstraintError) -> Int {
        guard edges.count < maximumStates else { throw Self.tooLarge }
        try budget.spend()
        edges.append([])
        jumps.append([])
        return edges.count - 1
    }

    mutating func add(_ node: GrammarNode, from: Int, to: Int) throws(ConstraintError) {
        try budget.spend()
        switch node {
        case .empty: jumps[from].append(to)
        case .set(let set):
            if !set.isEmpty { edges[from].append(.init(set: set, target: to)) }
        case .literal(let scalars): try add(scalars, from: from, to: to)
        case .words(let words): for word in words { try add(word, from: from, to: to) }
        case .sequence(let parts):
            var last = from
            for part in parts {
                let next = try state()
                try add(part, from: last, to: next)
                last = next
            }
            jumps[last].append(to)
        case .choice(let parts): for part in parts { try add(part, from: from, to: to) }
        case .repeated(let part, let minimum, let maximum):
            var last = from
            for count in 0..<max(maximum ?? minimum, 0) {
                if count >= minimum { jumps[last].append(to) }
                let next = try state()
                try add(part, from: last, to: next)
                last = next
            }
            if maximum == nil {
                let loop = try state()
                jumps[last].append(loop)
                let back = try state()
                try add(part, from: loop, to: back)
                jumps[back].append(loop)
                last = loop
            }
            jumps[last].append(to)
        case .rule, .characters, .token:
            throw ConstraintError(.unsupported, "a pattern cannot hold a rule")
        }
    }

    private mutating func add(_ scalars: [UInt32], from: Int, to: Int) throws(ConstraintError) {
        var last = from
        for scalar in scalars {
            let next = try state()
            edges[last].append(.init(set: ScalarSet([scalar...scalar]), target: next))
            last = next
        }
        jumps[last].append(to)
    }
}
