// SPDX-License-Identifier: Apache-2.0
// A constraint that is ready to be applied to any number of texts.

import Synchronization

/// A constraint compiled for a vocabulary; usable from any number of threads at once.
///
/// What it learns while it is applied, such as masks, is shared by all texts and bounded by `ConstraintLimits.cacheBytes`.
package final class CompiledConstraint: Sendable {
    /// The tokens that it was compiled for.
    package let vocabulary: ConstraintVocabulary
    /// Its limits.
    package let limits: ConstraintLimits
    private let automaton: Automaton
    private let current: Mutex<SharedMaskStore>

    /// Compiles a constraint, and finds the tokens that may come first.
    /// - Throws: `ConstraintError`.
    package convenience init(
        _ specification: ConstraintSpecification, vocabulary: ConstraintVocabulary,
        options: ConstraintOptions = ConstraintOptions(),
        limits: ConstraintLimits = ConstraintLimits()
    ) throws(ConstraintError) {
        var compiler = ConstraintCompiler(
            vocabulary: vocabulary, options: options, limits: limits)
        let root = try compiler.compile(specification)
        try self.init(
            Automaton(compiler.builder, root: root), vocabulary: vocabulary, limits: limits)
    }

    private init(
        _ automaton: Automaton, vocabulary: ConstraintVocabulary, limits: ConstraintLimits
    ) throws(ConstraintError) {
        self.automaton = automaton
        self.vocabulary = vocabulary
        self.limits = limits
        let store = SharedMaskStore(
            MaskStore(automaton, vocabulary: vocabulary, limits: limits))
        current = Mutex(store)
        var state = try begin()
        var mask = [UInt32](repeating: 0, count: vocabulary.maskWords)
        try state.allowed(into: &mask)
        if mask.allSatisfy({ $0 == 0 }) {
            throw ConstraintError(
                .impossible, "no token of the vocabulary can begin a text of the constraint")
        }
    }

    /// Bytes that the constraint takes now with what it remembers, roughly.
    package var byteCount: Int {
        automaton.byteCount + current.withLock { $0.store.withLock { $0.byteCount } }
    }

    /// The state of an empty text.
    /// - Throws: `ConstraintError` (`tooComplex`).
    package func begin() throws(ConstraintError) -> ConstraintState {
        let store = usable()
        let first = try store.store.withLock {
            (store) throws(ConstraintError) -> sending Int32 in
            store.allow(limits.steps)
            return try store.first()
        }
        return ConstraintState(self, store: store, set: first)
    }

    /// A store with room, which is the one that all texts use.
    func usable() -> SharedMaskStore {
        current.withLock { shared in
            if shared.store.withLock({ $0.isFull }) {
                shared = SharedMaskStore(
                    MaskStore(automaton, vocabulary: vocabulary, limits: limits))
            }
            return shared
        }
    }
}

/// A store of masks that several texts use.
final class SharedMaskStore: Sendable {
    let store: Mutex<MaskStore>

    init(_ store: sending MaskStore) { self.store = Mutex(store) }
}
