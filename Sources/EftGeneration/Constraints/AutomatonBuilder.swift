// SPDX-License-Identifier: Apache-2.0
// From rules over scalars to an automaton over bytes.

/// Collects the states of a pushdown automaton whose transitions take bytes or whole rules.
struct AutomatonBuilder {
    /// Takes one byte of a range.
    struct ByteEdge {
        let from: Int32
        let bytes: ClosedRange<UInt8>
        let target: Int32
    }

    /// Goes on without a byte.
    struct Jump {
        let from: Int32
        let target: Int32
    }

    /// Takes the text of a rule.
    struct Call {
        let from: Int32
        let rule: RuleID
        let target: Int32
    }

    /// A state within a counted repetition of a rule that does as one of an endless repetition for some bytes.
    struct Twin {
        let endless: Int32
        /// For how many bytes at least nothing tells the two apart.
        let horizon: Int32
    }

    /// The first and the last state of a rule.
    struct Rule {
        let start: Int32
        let end: Int32
    }

    private(set) var stateCount = 0
    private(set) var edges: [ByteEdge] = []
    private(set) var jumps: [Jump] = []
    private(set) var calls: [Call] = []
    private(set) var rules: [Rule] = []
    /// Twins by state.
    private(set) var twins: [Int32: Twin] = [:]
    let limits: ConstraintLimits
    /// Elementary steps of compilation.
    var budget: StepBudget
    /// The scalars that the vocabulary can spell from anywhere; nil when it can spell all.
    private let spellable: ScalarSet?
    private var tails: [TailKey: Int32] = [:]

    private static let null = ScalarSet("\u{0}")

    private struct TailKey: Hashable {
        let bytes: UInt64
        let target: Int32
    }

    init(limits: ConstraintLimits, spellable: ScalarSet?) {
        self.limits = limits
        self.spellable = spellable
        budget = StepBudget(limits.compileSteps)
    }

    // MARK: Parts

    /// Makes a rule without text, to be filled between its first and last state.
    /// - Throws: `ConstraintError` (`tooComplex`).
    mutating func addRule() throws(ConstraintError) -> RuleID {
        let rule = Rule(start: try addState(), end: try addState())
        rules.append(rule)
        return RuleID(truncatingIfNeeded: rules.count - 1)
    }

    /// Makes a rule of an expression.
    /// - Throws: `ConstraintError` (`tooComplex`).
    mutating func addRule(
        _ node: GrammarNode, form: TextForm = .plain
    ) throws(ConstraintError) -> RuleID {
        let rule = try addRule()
        try fill(rule, with: node, form: form)
        return rule
    }

    /// Adds an expression to a rule as one of its choices.
    /// - Throws: `ConstraintError` (`tooComplex`).
    mutating func fill(
        _ rule: RuleID, with node: GrammarNode, form: TextForm = .plain
    ) throws(ConstraintError) {
        let place = rules[Int(rule)]
        try add(node, from: place.start, to: place.end, form: form)
    }

    mutating func addState() throws(ConstraintError) -> Int32 {
        guard stateCount < limits.states else {
            throw ConstraintError(
                .tooComplex,
                "the constraint needs more than \(limits.states) states; use smaller repetitions")
        }
        try budget.spend()
        stateCount += 1
        return Int32(truncatingIfNeeded: stateCount - 1)
    }

    mutating func addJump(from: Int32, to target: Int32) throws(ConstraintError) {
        try budget.spend()
        jumps.append(Jump(from: from, target: target))
    }

    private mutating func addEdge(
        from: Int32, _ bytes: ClosedRange<UInt8>, to target: Int32
    ) throws(ConstraintError) {
        guard edges.count < limits.transitions else {
            throw ConstraintError(
                .tooComplex,
                "the constraint needs more than \(limits.transitions) transitions; "
                    + "use smaller repetitions")
        }
        try budget.spend()
        edges.append(ByteEdge(from: from, bytes: bytes, target: target))
    }

    // MARK: Expressions

    /// Adds the texts of an expression between two states.
    /// - Throws: `ConstraintError` (`tooComplex`).
    mutating func add(
        _ node: GrammarNode, from: Int32, to target: Int32, form: TextForm = .plain
    ) throws(ConstraintError) {
        switch node {
        case .empty: try addJump(from: from, to: target)
        case .set(let set): try addSet(set, from: from, to: target, form)
        case .literal(let scalars): try addLiteral(scalars, from: from, to: target, form)
        case .words(let words): try addWords(words, from: from, to: target, form)
        case .sequence(let parts):
            var last = from
            for part in parts.dropLast() {
                let next = try addState()
                try add(part, from: last, to: next, form: form)
                last = next
            }
            try add(parts.last ?? .empty, from: last, to: target, form: form)
        case .choice(let parts):
            for part in parts { try add(part, from: from, to: target, form: form) }
        case .repeated(let part, let minimum, let maximum):
            try addRepetition(part, minimum, maximum, from: from, to: target, form)
        case .rule(let rule):
            try budget.spend()
            calls.append(Call(from: from, rule: rule, target: target))
        case .token(let id):
            var last = from
            let mark = ConstraintVocabulary.mark(of: id)
            for (index, byte) in mark.enumerated() {
                let next = index == mark.count - 1 ? target : try addState()
                try addEdge(from: last, byte...byte, to: next)
                last = next
            }
        case .characters(let automaton):
            try addCharacters(automaton, from: from, to: target, form)
        }
    }

    private mutating func addRepetition(
        _ part: GrammarNode, _ minimum: Int, _ maximum: Int?, from: Int32, to target: Int32,
        _ form: TextForm
    ) throws(ConstraintError) {
        guard let maximum else {
            var last = from
            for _ in 0..<max(minimum, 0) {
                let next = try addState()
                try add(part, from: last, to: next, form: form)
                last = next
            }
            return try addLoop(part, from: last, to: target, form)
        }
        var endless: Int32?
        if case .rule = part, maximum - minimum > Self.shortRepetition {
            let loop = try addState()
            try addLoop(part, from: loop, to: target, form)
            endless = loop
        }
        var last = from
        for count in 0..<max(maximum, 0) {
            if count >= minimum {
                try addJump(from: last, to: target)
                if count > 0, let endless {
                    // A part takes a byte at least, or else it could be left out.
                    twins[last] = Twin(
                        endless: endless, horizon: Int32(truncatingIfNeeded: maximum - count))
                }
            }
            let next = try addState()
            try add(part, from: last, to: next, form: form)
            last = next
        }
        try addJump(from: last, to: target)
    }

    /// Counted repetitions up to here are looked at one by one.
    private static let shortRepetition = 8

    private mutating func addLoop(
        _ part: GrammarNode, from: Int32, to target: Int32, _ form: TextForm
    ) throws(ConstraintError) {
        let (loop, back) = (try addState(), try addState())
        try addJump(from: from, to: loop)
        try add(part, from: loop, to: back, form: form)
        try addJump(from: back, to: loop)
        try addJump(from: loop, to: target)
    }

    private mutating func addLiteral(
        _ scalars: [UInt32], from: Int32, to target: Int32, _ form: TextForm
    ) throws(ConstraintError) {
        var last = from
        for scalar in scalars.dropLast() {
            let next = try addState()
            try addSet(ScalarSet([scalar...scalar]), from: last, to: next, form)
            last = next
        }
        guard let scalar = scalars.last else { return try addJump(from: last, to: target) }
        try addSet(ScalarSet([scalar...scalar]), from: last, to: target, form)
    }

    private mutating func addWords(
        _ words: [[UInt32]], from: Int32, to target: Int32, _ form: TextForm
    ) throws(ConstraintError) {
        struct Branch: Hashable {
            let state: Int32
            let scalar: UInt32
        }
        var children: [Branch: Int32] = [:]
        for word in words {
            var state = from
            for scalar in word {
                let branch = Branch(state: state, scalar: scalar)
                if let next = children[branch] {
                    state = next
                } else {
                    let next = try addState()
                    try addSet(ScalarSet([scalar...scalar]), from: state, to: next, form)
                    children[branch] = next
                    state = next
                }
            }
            try addJump(from: state, to: target)
        }
    }

    private mutating func addCharacters(
        _ automaton: CharacterAutomaton, from: Int32, to target: Int32, _ form: TextForm
    ) throws(ConstraintError) {
        var states: [Int32] = []
        for _ in automaton.edges { states.append(try addState()) }
        try addJump(from: from, to: states[0])
        for (state, edges) in automaton.edges.enumerated() {
            for edge in edges {
                try addSet(edge.set, from: states[state], to: states[edge.target], form)
            }
            if automaton.accepts[state] { try addJump(from: states[state], to: target) }
        }
    }

    // MARK: Scalars

    private mutating func addSet(
        _ set: ScalarSet, from: Int32, to target: Int32, _ form: TextForm
    ) throws(ConstraintError) {
        var set = set
        if form == .json {
            try addEscapes(set.intersection(JSONText.escaped), from: from, to: target)
            set = set.subtracting(JSONText.escaped)
        } else {
            // Text with NUL is cut short by too much of what reads it.
            set = set.subtracting(Self.null)
        }
        if let spellable { set = set.intersection(spellable) }
        for range in set.ranges {
            var sequences: [[ClosedRange<UInt8>]] = []
            UTF8Ranges.forEach(in: range) { sequences.append($0) }
            for sequence in sequences {
                let next = try tail(sequence.dropFirst(), to: target)
                try addEdge(from: from, sequence[0], to: next)
            }
        }
    }

    /// The state from which a sequence of bytes leads to `target`; shared by all that need the same.
    private mutating func tail(
        _ sequence: ArraySlice<ClosedRange<UInt8>>, to target: Int32
    ) throws(ConstraintError) -> Int32 {
        guard let first = sequence.first else { return target }
        let bytes = sequence.reduce(UInt64(1)) {
            $0 << 16 | UInt64($1.lowerBound) << 8 | UInt64($1.upperBound)
        }
        let key = TailKey(bytes: bytes, target: target)
        if let known = tails[key] { return known }
        let state = try addState()
        let next = try tail(sequence.dropFirst(), to: target)
        try addEdge(from: state, first, to: next)
        tails[key] = state
        return state
    }

    private mutating func addEscapes(
        _ set: ScalarSet, from: Int32, to target: Int32
    ) throws(ConstraintError) {
        if set.isEmpty { return }
        let escape = try addState()
        try addText("\\", from: from, to: escape)
        for range in set.ranges {
            for value in range {
                try addText(JSONText.escape(value), from: escape, to: target)
            }
        }
    }

    private mutating func addText(
        _ text: String, from: Int32, to target: Int32
    ) throws(ConstraintError) {
        try addLiteral(text.unicodeScalars.map(\.value), from: from, to: target, .plain)
    }
}
