// SPDX-License-Identifier: Apache-2.0
// What must be known of an automaton before it can run.

/// Finds left recursion, states without a way to the end, and how deep each way must nest.
struct AutomatonAnalysis {
    /// How many rules must at least be nested to reach the end of the rule; `Int32.max` when it cannot be reached.
    private(set) var need: [Int32] = []
    /// Whether nothing but the end of the rule follows a state.
    let tails: [Bool]
    private let builder: AutomatonBuilder
    private let jumps: Automaton.Table<Int32>
    private let calls: Automaton.Table<AutomatonBuilder.Call>

    init(_ builder: AutomatonBuilder) {
        self.builder = builder
        jumps = .init(count: builder.stateCount, builder.jumps.map { ($0.from, $0.target) })
        calls = .init(count: builder.stateCount, builder.calls.map { ($0.from, $0) })
        let sources = Automaton.Table(
            count: builder.stateCount, builder.jumps.map { ($0.target, $0.from) })
        var works = [Bool](repeating: false, count: builder.stateCount)
        var pending: [Int32] = []
        func mark(_ state: Int32) {
            if works[Int(state)] { return }
            works[Int(state)] = true
            pending.append(state)
        }
        for edge in builder.edges { mark(edge.from) }
        for call in builder.calls { mark(call.from) }
        while let state = pending.popLast() { for source in sources[state] { mark(source) } }
        tails = works.map { !$0 }
    }

    // MARK: Left recursion

    /// Refuses rules that begin with themselves.
    /// - Throws: `ConstraintError` (`unsupported`).
    func refuseLeftRecursion() throws(ConstraintError) {
        let isNullable = nullableRules()
        // From each rule to those it may begin with.
        var beginnings: [[RuleID]] = []
        var seen = [Int](repeating: -1, count: builder.stateCount)
        for (number, rule) in builder.rules.enumerated() {
            var pending = [rule.start]
            var found: Set<RuleID> = []
            while let state = pending.popLast() {
                if seen[Int(state)] == number { continue }
                seen[Int(state)] = number
                pending += jumps[state]
                for call in calls[state] {
                    found.insert(call.rule)
                    if isNullable[Int(call.rule)] { pending.append(call.target) }
                }
            }
            beginnings.append(found.sorted())
        }
        if hasCycle(beginnings) {
            throw ConstraintError(
                .unsupported,
                "a rule begins with itself through other rules; put something in front of it, or "
                    + "write it as a repetition")
        }
    }

    private func nullableRules() -> [Bool] {
        var isNullable = [Bool](repeating: false, count: builder.rules.count)
        // From the end of rules backwards over what may be empty.
        var reaches = [Bool](repeating: false, count: builder.stateCount)
        let sources = Automaton.Table(
            count: builder.stateCount, builder.jumps.map { ($0.target, $0.from) })
        let callers = Automaton.Table(
            count: builder.stateCount, builder.calls.map { ($0.target, $0) })
        let users = Automaton.Table(
            count: builder.rules.count, builder.calls.map { ($0.rule, $0) })
        var ruleOfStart: [Int32: RuleID] = [:]
        for (number, rule) in builder.rules.enumerated() {
            ruleOfStart[rule.start] = RuleID(truncatingIfNeeded: number)
        }
        var pending = builder.rules.map(\.end)
        while let state = pending.popLast() {
            if reaches[Int(state)] { continue }
            reaches[Int(state)] = true
            pending += sources[state]
            for call in callers[state] where isNullable[Int(call.rule)] {
                pending.append(call.from)
            }
            if let rule = ruleOfStart[state] {
                isNullable[Int(rule)] = true
                for call in users[rule] where reaches[Int(call.target)] {
                    pending.append(call.from)
                }
            }
        }
        return isNullable
    }

    private func hasCycle(_ successors: [[RuleID]]) -> Bool {
        var incoming = [Int](repeating: 0, count: successors.count)
        for list in successors { for rule in list { incoming[Int(rule)] += 1 } }
        var free = incoming.indices.filter { incoming[$0] == 0 }
        var removed = 0
        while let rule = free.popLast() {
            removed += 1
            for next in successors[rule] {
                incoming[Int(next)] -= 1
                if incoming[Int(next)] == 0 { free.append(Int(next)) }
            }
        }
        return removed < successors.count
    }

    // MARK: Ways to the end

    /// Fills `need`, level by level.
    mutating func measureNeed() {
        let count = builder.stateCount
        let limit = builder.limits.depth
        let sources = Automaton.Table(
            count: count,
            builder.jumps.map { ($0.target, $0.from) } + builder.edges.map { ($0.target, $0.from) })
        let callers = Automaton.Table(count: count, builder.calls.map { ($0.target, $0) })
        let users = Automaton.Table(
            count: builder.rules.count, builder.calls.map { ($0.rule, $0) })
        var ruleOfStart: [Int32: RuleID] = [:]
        for (number, rule) in builder.rules.enumerated() {
            ruleOfStart[rule.start] = RuleID(truncatingIfNeeded: number)
        }
        var need = [Int32](repeating: .max, count: count)
        var levels = [[Int32]](repeating: [], count: limit + 2)
        levels[0] = builder.rules.map(\.end)
        for level in 0...limit {
            let value = Int32(truncatingIfNeeded: level)
            while let state = levels[level].popLast() {
                if need[Int(state)] <= value { continue }
                need[Int(state)] = value
                levels[level] += sources[state]
                var calls = Array(callers[state])
                if let rule = ruleOfStart[state] { calls += users[rule] }
                for call in calls {
                    let inner = need[Int(builder.rules[Int(call.rule)].start)]
                    let outer = need[Int(call.target)]
                    guard inner != .max, outer != .max else { continue }
                    let own = max(inner + (tails[Int(call.target)] ? 0 : 1), outer)
                    if own <= limit { levels[max(Int(own), level)].append(call.from) }
                }
            }
        }
        self.need = need
    }
}
