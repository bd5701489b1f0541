// SPDX-License-Identifier: Apache-2.0
// The finished automaton of a constraint.

/// A pushdown automaton over bytes; immutable.
///
/// From every state that is left, some text leads to the end of its rule within the depth that is allowed.
struct Automaton: Sendable {
    /// A transition on a range of byte classes.
    struct Edge: Sendable {
        let first: UInt8
        let last: UInt8
        let target: Int32
    }

    /// A rule that is to be taken before going on in `target`.
    struct Call: Sendable {
        let start: Int32
        let target: Int32
        /// Whether nothing but the end follows in `target`, so that it need not be remembered.
        let isTail: Bool
    }

    /// The lists of all states in one array.
    struct Table<Element: Sendable>: Sendable {
        private let starts: [Int32]
        private let elements: [Element]

        init(count: Int, _ pairs: [(state: Int32, element: Element)]) {
            var starts = [Int32](repeating: 0, count: count + 1)
            for pair in pairs { starts[Int(pair.state) + 1] += 1 }
            for state in 0..<count { starts[state + 1] += starts[state] }
            var next = starts
            var order = [Int](repeating: 0, count: pairs.count)
            for (index, pair) in pairs.enumerated() {
                order[Int(next[Int(pair.state)])] = index
                next[Int(pair.state)] += 1
            }
            self.starts = starts
            elements = order.map { pairs[$0].element }
        }

        /// Bytes that it takes.
        var byteCount: Int { starts.count * 4 + elements.count * MemoryLayout<Element>.stride }

        subscript(state: Int32) -> ArraySlice<Element> {
            elements[Int(starts[Int(state)])..<Int(starts[Int(state) + 1])]
        }
    }

    /// Number of states.
    let stateCount: Int
    /// The first state of the whole text.
    let start: Int32
    let edges: Table<Edge>
    let jumps: Table<Int32>
    let calls: Table<Call>
    /// Whether a state is the end of its rule.
    let accepts: [Bool]
    /// The class of each byte: bytes that no transition tells apart.
    let byteClass: [UInt8]
    /// One byte of each class.
    let classBytes: [UInt8]
    /// How many rules must at least be nested to come from a state to the end of its rule.
    let need: [Int32]
    /// States that do as others for some bytes.
    let twins: [Int32: AutomatonBuilder.Twin]
    /// How deep rules may be nested.
    let depth: Int32

    /// Bytes that it takes, roughly.
    var byteCount: Int {
        edges.byteCount + jumps.byteCount + calls.byteCount + stateCount * 5 + twins.count * 24
    }

    /// Number of byte classes.
    var classCount: Int { classBytes.count }

    /// Finishes an automaton whose text is that of `root`.
    /// - Throws: `ConstraintError` (`unsupported`, `impossible`).
    init(_ builder: AutomatonBuilder, root: RuleID) throws(ConstraintError) {
        var analysis = AutomatonAnalysis(builder)
        try analysis.refuseLeftRecursion()
        analysis.measureNeed()
        let need = analysis.need
        func isAlive(_ state: Int32) -> Bool { need[Int(state)] != .max }
        start = builder.rules[Int(root)].start
        guard isAlive(start) else {
            throw ConstraintError(
                .impossible, "no text that these tokens can spell satisfies the constraint")
        }
        let edges = builder.edges.filter { isAlive($0.target) }
        var isBorder = [Bool](repeating: false, count: 257)
        for edge in edges {
            isBorder[Int(edge.bytes.lowerBound)] = true
            isBorder[Int(edge.bytes.upperBound) + 1] = true
        }
        var byteClass: [UInt8] = []
        var classBytes: [UInt8] = [0]
        for byte in UInt8.min...UInt8.max {
            if byte > 0 && isBorder[Int(byte)] { classBytes.append(byte) }
            byteClass.append(UInt8(truncatingIfNeeded: classBytes.count - 1))
        }
        stateCount = builder.stateCount
        self.edges = Table(
            count: stateCount,
            edges.map {
                (
                    $0.from,
                    Edge(
                        first: byteClass[Int($0.bytes.lowerBound)],
                        last: byteClass[Int($0.bytes.upperBound)], target: $0.target)
                )
            })
        jumps = Table(
            count: stateCount,
            builder.jumps.filter { isAlive($0.target) }.map { ($0.from, $0.target) })
        let isTail = analysis.tails
        let calls = builder.calls.map { call in
            (
                state: call.from,
                element: Call(
                    start: builder.rules[Int(call.rule)].start, target: call.target,
                    isTail: isTail[Int(call.target)])
            )
        }
        self.calls = Table(
            count: stateCount,
            calls.filter { isAlive($0.element.start) && isAlive($0.element.target) })
        var accepts = [Bool](repeating: false, count: stateCount)
        for rule in builder.rules { accepts[Int(rule.end)] = true }
        self.accepts = accepts
        self.byteClass = byteClass
        self.classBytes = classBytes
        self.need = need
        twins = builder.twins.filter { isAlive($0.key) }
        depth = Int32(truncatingIfNeeded: builder.limits.depth)
    }
}
