// SPDX-License-Identifier: Apache-2.0
// Adapters that come and go while the model is loaded.
import EftGeneration

extension LanguageModel {
    /// The names of the loaded adapters, sorted.
    public var adapterNames: [String] { adapters.withLock { $0.keys.sorted() } }

    /// Loads a PEFT adapter under a name.
    ///
    /// Its memory is planned when the model is loaded: `ModelOptions.maxAdapters` and `maxAdapterRank`.
    /// - Throws: `EftError`: for a name that is taken, an adapter that does not belong to the model, or no room left.
    public func loadAdapter(_ folder: String, name: String) async throws(EftError) {
        guard !name.isEmpty, adapters.withLock({ $0[name] }) == nil else {
            throw EftError(
                .usage, "an adapter named '\(name)' is loaded already, or the name is empty")
        }
        let engine = engine
        let loaded = try await Background.run { _ in
            try engine.perform { try $0.loadAdapter(folder) }
        }
        adapters.withLock { $0[name] = loaded }
    }

    /// Takes an adapter away; requests that use it finish first.
    /// - Throws: `EftError` for a name that is not loaded.
    public func unloadAdapter(_ name: String) async throws(EftError) {
        guard let adapter = adapters.withLock({ $0.removeValue(forKey: name) }) else {
            throw EftError(.usage, "no adapter named '\(name)' is loaded")
        }
        let engine = engine
        try await Background.run { _ in try engine.perform { $0.unloadAdapter(adapter) } }
    }

    /// - Throws: `EftError` for a name that is not loaded.
    func adapter(named name: String) throws(EftError) -> EngineAdapter {
        if let adapter = adapters.withLock({ $0[name] }) { return adapter }
        let names = adapterNames.joined(separator: ", ")
        throw EftError(
            .usage,
            "no adapter named '\(name)' is loaded; there are: \(names.isEmpty ? "none" : names)")
    }
}
