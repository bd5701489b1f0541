// SPDX-License-Identifier: Apache-2.0
// The places in an automaton where a text may be, remembered under numbers.

/// All configurations seen so far: sets of (state, waiting rules) under numbers, and the transitions between them.
///
/// The rules that wait for the end of another one are a stack; stacks share their lower parts, and the stacks of one state
/// are one node, so that a set never has more entries than the automaton has states.
struct ConfigurationStore {
    /// A set of stacks: perhaps the empty one, and those with a given state on top of a set of stacks.
    private struct Stacks: Hashable {
        let holdsEmpty: Bool
        /// Pairs of a state to return to and the node below, as `Self.pair`, ascending by state.
        let entries: [UInt64]
    }

    /// A set of configurations: where the text may be.
    private struct Configurations: Hashable {
        /// Pairs of a state that takes bytes and its node of stacks, ascending.
        let items: [UInt64]
        /// Whether the text may end here.
        let accepts: Bool
    }

    /// The set of no configurations: the text breaks the constraint.
    static let dead: Int32 = 0
    /// The node of the empty stack.
    static let emptyStack: Int32 = 0

    let automaton: Automaton
    /// Steps that the current task may still take.
    var budget = StepBudget(0)
    /// Bytes used, roughly.
    private(set) var byteCount = 0

    private var stacks: [Stacks] = []
    private var stackDepths: [Int32] = []
    private var stackNumbers: [Stacks: Int32] = [:]
    private var unions: [UInt64: Int32] = [:]

    private var sets: [Configurations] = []
    private var setNumbers: [Configurations: Int32] = [:]
    /// For each set the deepest nesting that it and what led to it needs.
    private var extents: [Int32] = []
    /// The next set by set and byte class; -1 where it is not known yet.
    private var transitions: [Int32] = []

    // Scratch of one closure, by state.
    private var stamps: [Int32]
    private var nodeOfState: [Int32]
    private var isQueued: [Bool]
    private var stamp: Int32 = 0
    private var pending: [Int32] = []
    private var touched: [Int32] = []
    private var extent: Int32 = 0

    init(_ automaton: Automaton) {
        self.automaton = automaton
        stamps = .init(repeating: 0, count: automaton.stateCount)
        nodeOfState = .init(repeating: 0, count: automaton.stateCount)
        isQueued = .init(repeating: false, count: automaton.stateCount)
        byteCount = automaton.stateCount * 9
        _ = number(of: Stacks(holdsEmpty: true, entries: []))
        _ = number(of: Configurations(items: [], accepts: false))
    }

    /// Takes away steps that something else took; when none are left, the next step fails.
    mutating func charge(_ steps: Int) { budget.charge(steps) }

    // MARK: Sets

    /// Whether the text may end.
    func accepts(_ set: Int32) -> Bool { sets[Int(set)].accepts }

    /// The deepest nesting that a set needs, or that was reached on the way to it.
    func extent(_ set: Int32) -> Int32 { extents[Int(set)] }

    /// The depth of the deepest stack of a node.
    func depth(ofStacks node: Int32) -> Int32 { stackDepths[Int(node)] }

    /// The states of a set by the stacks they share.
    func groups(_ set: Int32) -> [(stacks: Int32, states: [Int32])] {
        var groups: [(stacks: Int32, states: [Int32])] = []
        var places: [Int32: Int] = [:]
        for item in sets[Int(set)].items {
            let (state, node) = Self.parts(item)
            if let place = places[node] {
                groups[place].states.append(state)
            } else {
                places[node] = groups.count
                groups.append((node, [state]))
            }
        }
        return groups
    }

    /// A set that many others lead to the same tokens with, and up to how many bytes a token may have for that; nil when
    /// there is none but the set itself.
    mutating func endless(_ set: Int32) -> (set: Int32, horizon: Int)? {
        if automaton.twins.isEmpty { return nil }
        var horizon: Int32?
        var items: [UInt64] = []
        for item in sets[Int(set)].items {
            let (state, node) = Self.parts(item)
            var entries = stacks[Int(node)].entries
            for (index, entry) in entries.enumerated() {
                let (waiting, below) = Self.parts(entry)
                guard let twin = automaton.twins[waiting] else { continue }
                horizon = min(horizon ?? .max, twin.horizon)
                entries[index] = Self.pair(twin.endless, below)
            }
            entries.sort()
            // Two that wait for different counts would become one.
            for (one, other) in zip(entries, entries.dropFirst())
            where Self.parts(one).0 == Self.parts(other).0 {
                return nil
            }
            let loose = Stacks(holdsEmpty: stacks[Int(node)].holdsEmpty, entries: entries)
            items.append(Self.pair(state, number(of: loose)))
        }
        guard let horizon else { return nil }
        let loose = Configurations(items: items, accepts: sets[Int(set)].accepts)
        return (number(of: loose), Int(horizon))
    }

    /// The set in which the whole text begins.
    /// - Throws: `ConstraintError` (`tooComplex`).
    mutating func first() throws(ConstraintError) -> Int32 {
        begin()
        try add(automaton.start, Self.emptyStack)
        return try close()
    }

    /// The set of some states that take bytes, as if nothing waited for their rule.
    mutating func alone(_ states: [Int32]) -> Int32 {
        let items = states.map { Self.pair($0, Self.emptyStack) }
        return number(of: Configurations(items: items, accepts: false))
    }

    /// The set after the end of the rule that stacks wait for; dead when it is the text's end.
    /// - Throws: `ConstraintError` (`tooComplex`).
    mutating func afterReturn(to node: Int32) throws(ConstraintError) -> Int32 {
        begin()
        for entry in stacks[Int(node)].entries {
            let (state, below) = Self.parts(entry)
            try add(state, below)
        }
        return try close()
    }

    /// The set after a byte.
    /// - Throws: `ConstraintError` (`tooComplex`).
    @inline(__always)
    mutating func next(_ set: Int32, _ byte: UInt8) throws(ConstraintError) -> Int32 {
        let byteClass = automaton.byteClass[Int(byte)]
        let known = transitions[Int(set) &* automaton.classCount &+ Int(byteClass)]
        return known >= 0 ? known : try step(set, byteClass)
    }

    private mutating func step(_ set: Int32, _ byteClass: UInt8) throws(ConstraintError) -> Int32 {
        begin()
        let items = sets[Int(set)].items
        try budget.spend(items.count)
        for item in items {
            let (state, node) = Self.parts(item)
            for edge in automaton.edges[state]
            where edge.first <= byteClass && byteClass <= edge.last {
                try add(edge.target, node)
            }
        }
        let next = try close()
        transitions[Int(set) * automaton.classCount + Int(byteClass)] = next
        return next
    }

    // MARK: Closure

    private mutating func begin() {
        // After an error some of these may be left.
        for state in pending { isQueued[Int(state)] = false }
        pending.removeAll(keepingCapacity: true)
        touched.removeAll(keepingCapacity: true)
        extent = 0
        stamp &+= 1
    }

    private mutating func add(_ state: Int32, _ node: Int32) throws(ConstraintError) {
        let needed = stackDepths[Int(node)] &+ automaton.need[Int(state)]
        extent = max(extent, needed)
        if needed > automaton.depth { return }
        let place = Int(state)
        if stamps[place] != stamp {
            stamps[place] = stamp
            nodeOfState[place] = node
            touched.append(state)
        } else {
            let both = try union(nodeOfState[place], node)
            if both == nodeOfState[place] { return }
            nodeOfState[place] = both
        }
        if !isQueued[place] {
            isQueued[place] = true
            pending.append(state)
        }
    }

    /// Adds all that is reached without a byte.
    private mutating func close() throws(ConstraintError) -> Int32 {
        var accepts = false
        while let state = pending.popLast() {
            isQueued[Int(state)] = false
            let node = nodeOfState[Int(state)]
            try budget.spend(1)
            for target in automaton.jumps[state] { try add(target, node) }
            if automaton.accepts[Int(state)] {
                if stacks[Int(node)].holdsEmpty { accepts = true }
                let entries = stacks[Int(node)].entries
                try budget.spend(entries.count)
                for entry in entries {
                    let (target, below) = Self.parts(entry)
                    try add(target, below)
                }
            }
            for call in automaton.calls[state] {
                let inner =
                    call.isTail
                    ? node
                    : number(
                        of: Stacks(holdsEmpty: false, entries: [Self.pair(call.target, node)]))
                try add(call.start, inner)
            }
        }
        var items: [UInt64] = []
        for state in touched where !automaton.edges[state].isEmpty {
            items.append(Self.pair(state, nodeOfState[Int(state)]))
        }
        items.sort()
        // As many steps as memory is taken, so that a task bounds both.
        try budget.spend(items.count + 16 + automaton.classCount / 2)
        let set = number(of: Configurations(items: items, accepts: accepts))
        extents[Int(set)] = max(extents[Int(set)], extent)
        return set
    }

    private mutating func union(_ a: Int32, _ b: Int32) throws(ConstraintError) -> Int32 {
        if a == b { return a }
        let key = Self.pair(min(a, b), max(a, b))
        if let known = unions[key] { return known }
        let (left, right) = (stacks[Int(a)], stacks[Int(b)])
        var entries: [UInt64] = []
        try budget.spend(1 + left.entries.count + right.entries.count)
        var (i, j) = (0, 0)
        while i < left.entries.count || j < right.entries.count {
            let one = i < left.entries.count ? Self.parts(left.entries[i]).0 : .max
            let other = j < right.entries.count ? Self.parts(right.entries[j]).0 : .max
            if one == other {
                // No deeper than stacks are: the limit of depth holds.
                let below = try union(
                    Self.parts(left.entries[i]).1, Self.parts(right.entries[j]).1)
                entries.append(Self.pair(one, below))
            } else {
                entries.append(one < other ? left.entries[i] : right.entries[j])
            }
            if one <= other { i += 1 }
            if other <= one { j += 1 }
        }
        let result = number(
            of: Stacks(holdsEmpty: left.holdsEmpty || right.holdsEmpty, entries: entries))
        unions[key] = result
        byteCount += 40
        return result
    }

    // MARK: Numbers

    private mutating func number(of node: Stacks) -> Int32 {
        if let known = stackNumbers[node] { return known }
        let number = Int32(truncatingIfNeeded: stacks.count)
        var depth: Int32 = 0
        for entry in node.entries { depth = max(depth, 1 + stackDepths[Int(Self.parts(entry).1)]) }
        stacks.append(node)
        stackDepths.append(depth)
        stackNumbers[node] = number
        byteCount += 96 + node.entries.count * 8
        return number
    }

    private mutating func number(of set: Configurations) -> Int32 {
        if let known = setNumbers[set] { return known }
        let number = Int32(truncatingIfNeeded: sets.count)
        sets.append(set)
        setNumbers[set] = number
        extents.append(0)
        let isDead = set.items.isEmpty
        transitions += repeatElement(isDead ? Self.dead : -1, count: automaton.classCount)
        byteCount += 96 + set.items.count * 8 + automaton.classCount * 4
        return number
    }

    // MARK: Pictures

    /// What a set holds, independent of this store.
    func picture(of set: Int32) -> ConfigurationPicture {
        var picture = ConfigurationPicture()
        var places: [Int32: Int] = [:]
        // Numbers grow upwards: what a stack stands on was numbered before it.
        var reached: Set<Int32> = []
        var pending = sets[Int(set)].items.map { Self.parts($0).1 }
        while let node = pending.popLast() {
            guard reached.insert(node).inserted else { continue }
            pending += stacks[Int(node)].entries.map { Self.parts($0).1 }
        }
        for node in reached.sorted() {
            places[node] = picture.nodes.count
            let entries = stacks[Int(node)].entries.map { Self.parts($0) }
            picture.nodes.append(
                .init(
                    holdsEmpty: stacks[Int(node)].holdsEmpty,
                    entries: entries.map { .init(state: $0.0, node: places[$0.1] ?? 0) }))
        }
        picture.items = sets[Int(set)].items.map {
            .init(state: Self.parts($0).0, node: places[Self.parts($0).1] ?? 0)
        }
        picture.accepts = sets[Int(set)].accepts
        return picture
    }

    /// The number here of a set from another store of the same automaton.
    mutating func restore(_ picture: ConfigurationPicture) -> Int32 {
        var numbers: [Int32] = []
        for node in picture.nodes {
            let entries = node.entries.map { Self.pair($0.state, numbers[$0.node]) }
            numbers.append(number(of: Stacks(holdsEmpty: node.holdsEmpty, entries: entries)))
        }
        let items = picture.items.map { Self.pair($0.state, numbers[$0.node]) }
        return number(of: Configurations(items: items, accepts: picture.accepts))
    }

    private static func pair(_ state: Int32, _ node: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: state)) << 32 | UInt64(UInt32(bitPattern: node))
    }

    private static func parts(_ pair: UInt64) -> (Int32, Int32) {
        (
            Int32(truncatingIfNeeded: pair >> 32),
            Int32(truncatingIfNeeded: pair)
        )
    }
}
