// SPDX-License-Identifier: Apache-2.0
// How far one text has come under a constraint.

import Synchronization

/// The state of one text; a value of a few words, so that a copy kept aside serves to go back.
package struct ConstraintState: Sendable {
    /// The constraint.
    package let constraint: CompiledConstraint
    private var store: SharedMaskStore
    private var set: Int32
    /// Whether a token that ends the text was taken.
    package private(set) var isFinished = false
    /// Steps that masks may still take in all.
    private var stepsLeft: Int

    init(_ constraint: CompiledConstraint, store: SharedMaskStore, set: Int32) {
        self.constraint = constraint
        self.store = store
        self.set = set
        stepsLeft = constraint.limits.sequenceSteps
    }

    /// Whether the text so far satisfies the constraint.
    package var isComplete: Bool {
        store.store.withLock { $0.configurations.accepts(set) }
    }

    /// Sets the bit of each token that may come next, in words of 32 tokens, and clears the others.
    ///
    /// Tokens that end a text are allowed when the text is complete, and only they when it is finished.
    /// - Parameter mask: `ConstraintVocabulary.maskWords` words, or more, which are cleared.
    /// - Throws: `ConstraintError` (`tooComplex`) when this takes too many steps.
    package mutating func allowed(into mask: inout [UInt32]) throws(ConstraintError) {
        let words =
            isFinished
            ? endMask
            : try task { (store, set) throws(ConstraintError) in
                try store.mask(set)
            }
        for index in mask.indices { mask[index] = index < words.count ? words[index] : 0 }
    }

    private var endMask: [UInt32] {
        var words = [UInt32](repeating: 0, count: constraint.vocabulary.maskWords)
        for id in constraint.vocabulary.endIDs { words[Int(id) >> 5] |= 1 << UInt32(id & 31) }
        return words
    }

    /// Takes the next token.
    /// - Returns: false, with nothing changed, when the token is not allowed.
    /// - Throws: `ConstraintError` (`tooComplex`) when this takes too many steps.
    package mutating func advance(_ token: Int32) throws(ConstraintError) -> Bool {
        if constraint.vocabulary.isEnd(token) {
            guard isFinished || isComplete else { return false }
            isFinished = true
            return true
        }
        let bytes = constraint.vocabulary.bytes(of: token)
        guard !bytes.isEmpty else { return false }
        return try take(bytes)
    }

    /// Takes bytes of text, which need not be those of tokens.
    /// - Returns: false, with nothing changed, when they break the constraint.
    /// - Throws: `ConstraintError` (`tooComplex`) when this takes too many steps.
    package mutating func advance(_ bytes: some Sequence<UInt8>) throws(ConstraintError) -> Bool {
        let bytes = Array(bytes)
        if bytes.contains(ConstraintVocabulary.firstOfMark) { return false }
        return try take(bytes[...])
    }

    private mutating func take(_ bytes: ArraySlice<UInt8>) throws(ConstraintError) -> Bool {
        if isFinished { return false }
        let next = try task { (store, set) throws(ConstraintError) in try store.next(set, bytes) }
        if next == ConfigurationStore.dead { return false }
        set = next
        try moveOn()
        return true
    }

    // MARK: Stores

    /// Does something with the store within the steps that one task, and this text, may take.
    private mutating func task<Result: Sendable>(
        _ body: (inout MaskStore, Int32) throws(ConstraintError) -> Result
    ) throws(ConstraintError) -> Result {
        let allowance = min(constraint.limits.steps, stepsLeft)
        let (set, shared) = (set, store)
        var left = 0
        defer { stepsLeft -= allowance - max(left, 0) }
        return try shared.store.withLock { (store) throws(ConstraintError) -> Result in
            store.allow(allowance)
            defer { left = store.configurations.budget.left }
            return try body(&store, set)
        }
    }

    /// Goes over to a new store when this one is full; the old one goes when no text needs it.
    private mutating func moveOn() throws(ConstraintError) {
        guard store.store.withLock({ $0.isFull }) else { return }
        let next = constraint.usable()
        if next === store { return }
        let picture = store.store.withLock { $0.configurations.picture(of: set) }
        set = next.store.withLock { $0.restore(picture) }
        store = next
    }
}
