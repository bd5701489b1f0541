// SPDX-License-Identifier: Apache-2.0
// Which tokens may come next, remembered by configuration.

/// Masks of tokens for the configurations of one automaton.
struct MaskStore {
    /// The tokens that may follow some states whatever waits for their rule.
    private struct Local {
        /// The tokens with which the rule goes on or just ends.
        var words: [UInt32]
        /// The nodes of the tree of tokens at which the rule may have ended, with more bytes below.
        var returns: [Int32] = []
        /// The deepest nesting met.
        var extent: Int32 = 0
        var lastUse = 0
    }

    private struct Mask {
        let words: [UInt32]
        var lastUse: Int
    }

    private(set) var configurations: ConfigurationStore
    private let vocabulary: ConstraintVocabulary
    private let limits: ConstraintLimits
    private var masks: [Int32: Mask] = [:]
    private var locals: [Int32: Local] = [:]
    private var maskBytes = 0
    private var clock = 0
    /// The set at each depth of a walk.
    private var path: [Int32]

    init(_ automaton: Automaton, vocabulary: ConstraintVocabulary, limits: ConstraintLimits) {
        configurations = ConfigurationStore(automaton)
        self.vocabulary = vocabulary
        self.limits = limits
        path = .init(repeating: 0, count: vocabulary.trie.maximumDepth + 1)
    }

    /// Bytes that are taken, roughly.
    var byteCount: Int { configurations.byteCount + maskBytes + path.count * 4 }

    /// Whether so much is remembered that a new store should be begun.
    var isFull: Bool { configurations.byteCount > limits.cacheBytes / 2 }

    /// Lets the next tasks take this many steps.
    mutating func allow(_ steps: Int) { configurations.budget = StepBudget(steps) }

    // MARK: Sets

    mutating func first() throws(ConstraintError) -> Int32 { try configurations.first() }

    /// The set after bytes; dead when they break the constraint.
    /// - Throws: `ConstraintError` (`tooComplex`).
    mutating func next(
        _ set: Int32, _ bytes: some Sequence<UInt8>
    ) throws(ConstraintError) -> Int32 {
        var set = set
        for byte in bytes {
            set = try configurations.next(set, byte)
            if set == ConfigurationStore.dead { return set }
        }
        return set
    }

    /// The number of a set from another store of the same automaton.
    mutating func restore(_ picture: ConfigurationPicture) -> Int32 {
        configurations.restore(picture)
    }

    // MARK: Masks

    /// One bit for each token, set when it may follow.
    /// - Throws: `ConstraintError` (`tooComplex`).
    mutating func mask(_ set: Int32) throws(ConstraintError) -> [UInt32] {
        clock += 1
        if let known = masks[set]?.words {
            masks[set]?.lastUse = clock
            return known
        }
        let words: [UInt32]
        if let loose = configurations.endless(set) {
            words = try narrowed(try mask(loose.set), to: set, beyond: loose.horizon)
        } else {
            words = try computed(set)
        }
        maskBytes += words.count * 4 + 64
        masks[set] = Mask(words: words, lastUse: clock)
        evict()
        return words
    }

    private mutating func computed(_ set: Int32) throws(ConstraintError) -> [UInt32] {
        var words = [UInt32](repeating: 0, count: vocabulary.maskWords)
        if configurations.accepts(set) {
            for id in vocabulary.endIDs { words[Int(id) >> 5] |= 1 << UInt32(id & 31) }
        }
        if try !fillByGroups(set, &words) {
            var unused = Local(words: [])
            try walk(from: set, below: 0, &words, returns: &unused)
        }
        return words
    }

    /// A mask of which only tokens of up to `horizon` bytes are sure, without the longer ones that may not follow a set.
    private mutating func narrowed(
        _ mask: [UInt32], to set: Int32, beyond horizon: Int
    ) throws(ConstraintError) -> [UInt32] {
        let trie = vocabulary.trie
        var words = mask
        path[0] = set
        var place = 1
        var visited = 0
        defer { configurations.charge(visited / 8) }
        while place < trie.nodeCount {
            visited &+= 1
            let end = Int(trie.ends[place])
            if Int(trie.heights[place]) <= horizon {
                place = end
                continue
            }
            let depth = Int(trie.depths[place])
            let next = try configurations.next(path[depth &- 1], trie.bytes[place])
            if next != ConfigurationStore.dead {
                path[depth] = next
                place &+= 1
                continue
            }
            for node in place..<end where Int(trie.depths[node]) > horizon {
                for index in Int(trie.tokenStarts[node])..<Int(trie.tokenStarts[node &+ 1]) {
                    let id = trie.tokens[index]
                    words[Int(id >> 5)] &= ~(1 << UInt32(truncatingIfNeeded: id & 31))
                }
            }
            place = end
        }
        return words
    }

    /// Puts a mask together from what is known of its states; false when stacks are so deep that this may be wrong.
    private mutating func fillByGroups(
        _ set: Int32, _ words: inout [UInt32]
    ) throws(ConstraintError) -> Bool {
        let groups = configurations.groups(set)
        // A walk for each of many would cost more than one for all.
        if groups.count > 16 { return false }
        var parts: [(stacks: Int32, local: Local)] = []
        for group in groups {
            let local = try local(configurations.alone(group.states))
            let depth = configurations.depth(ofStacks: group.stacks)
            if depth &+ local.extent > configurations.automaton.depth { return false }
            parts.append((group.stacks, local))
        }
        for (stacks, local) in parts {
            for index in words.indices { words[index] |= local.words[index] }
            if stacks == ConfigurationStore.emptyStack || local.returns.isEmpty { continue }
            let after = try configurations.afterReturn(to: stacks)
            var unused = Local(words: [])
            for node in local.returns {
                try walk(from: after, below: Int(node), &words, returns: &unused)
            }
        }
        return true
    }

    private mutating func local(_ set: Int32) throws(ConstraintError) -> Local {
        if let known = locals[set] {
            locals[set]?.lastUse = clock
            return known
        }
        var result = Local(words: [])
        var words = [UInt32](repeating: 0, count: vocabulary.maskWords)
        try walk(from: set, below: 0, &words, returns: &result)
        result.words = words
        result.lastUse = clock
        maskBytes += words.count * 4 + result.returns.count * 4 + 64
        locals[set] = result
        return result
    }

    /// Allows the tokens below a node of the tree that keep the constraint from a set on, and notes in `result` where the
    /// text may end before a token does.
    private mutating func walk(
        from set: Int32, below node: Int, _ words: inout [UInt32], returns result: inout Local
    ) throws(ConstraintError) {
        let trie = vocabulary.trie
        let end = Int(trie.ends[node])
        path[Int(trie.depths[node])] = set
        var place = node + 1
        var visited = 0
        defer { configurations.charge(visited / 8) }
        while place < end {
            visited &+= 1
            let depth = Int(trie.depths[place])
            let next = try configurations.next(path[depth &- 1], trie.bytes[place])
            if next == ConfigurationStore.dead {
                place = Int(trie.ends[place])
                continue
            }
            path[depth] = next
            for index in Int(trie.tokenStarts[place])..<Int(trie.tokenStarts[place &+ 1]) {
                let id = trie.tokens[index]
                words[Int(id >> 5)] |= 1 << UInt32(truncatingIfNeeded: id & 31)
            }
            result.extent = max(result.extent, configurations.extent(next))
            if configurations.accepts(next) && Int(trie.ends[place]) > place &+ 1 {
                result.returns.append(Int32(truncatingIfNeeded: place))
            }
            place &+= 1
        }
    }

    /// Forgets the masks that were used least recently when they take too many bytes.
    private mutating func evict() {
        guard maskBytes > limits.cacheBytes / 2 else { return }
        let uses = (masks.values.map(\.lastUse) + locals.values.map(\.lastUse)).sorted()
        let border = uses[uses.count / 2]
        masks = masks.filter { $0.value.lastUse > border }
        locals = locals.filter { $0.value.lastUse > border }
        maskBytes =
            masks.values.reduce(0) { $0 + $1.words.count * 4 + 64 }
            + locals.values.reduce(0) { $0 + ($1.words.count + $1.returns.count) * 4 + 64 }
    }
}
