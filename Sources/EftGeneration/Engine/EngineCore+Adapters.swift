// SPDX-License-Identifier: Apache-2.0
// Adapters that come and go while the engine runs.
import EftModels
import EftNN

/// An adapter that requests can name.
package struct EngineAdapter: Sendable, Hashable {
    /// Its slot in the decoder.
    package let slot: Int
    /// The number of its loading; no two loadings have the same, so that pages of an older one are never found.
    package let number: Int
}

extension EngineCore {
    /// Loads a PEFT adapter.
    /// - Throws: `ModelError` for adapters that do not fit the model or pass the rank that memory was taken for,
    ///   `TensorError` when there is no room left, `FormatError` for files that cannot be read.
    package func loadAdapter(_ folder: String) throws -> EngineAdapter {
        let extents = try AdapterFile.extents(folder, description: decoder.description)
        guard extents.rank <= adapterWidths.rank else {
            throw ModelError(
                .mismatch,
                "the adapter has rank \(extents.rank), memory was taken for \(adapterWidths.rank); start with a "
                    + "higher --max-lora-rank")
        }
        guard extents.widths.scaledOutputs <= adapterWidths.scaledOutputs else {
            throw ModelError(
                .mismatch,
                "the adapter uses DoRA, for which no memory was taken; start with such an adapter on the same layers "
                    + "(--lora-modules)")
        }
        let slot = try AdapterFile.load(folder, into: decoder)
        return note(slot)
    }

    /// Makes an adapter known that stands in the decoder already.
    package func note(_ slot: Int) -> EngineAdapter {
        adapterNumber += 1
        adapterNumbers[slot] = adapterNumber
        return EngineAdapter(slot: slot, number: adapterNumber)
    }

    /// Takes an adapter away once the requests that use it have ended; new ones are refused from now on.
    package func unloadAdapter(_ adapter: EngineAdapter) {
        guard adapterNumbers[adapter.slot] == adapter.number else { return }
        adapterNumbers[adapter.slot] = nil
        retiring.insert(adapter.slot)
        removeRetired()
    }

    /// - Throws: `GenerationError` when the adapter that a request was made for is gone.
    func checkAdapters(_ request: EngineRequest) throws(GenerationError) {
        guard request.root.adapter != 0 else { return }
        guard let slot = request.adapters.first, adapterNumbers[slot] == request.root.adapter else {
            throw GenerationError(
                "the adapter was unloaded before the request could begin", parameter: "model")
        }
    }

    /// Gives back the memory of adapters that nobody uses any more.
    func removeRetired() {
        guard !retiring.isEmpty else { return }
        let used = Set(groups.values.flatMap(\.request.adapters))
        for slot in retiring.subtracting(used) {
            decoder.removeAdapter(slot)
            retiring.remove(slot)
        }
    }
}

extension EngineRequest {
    /// Lets an adapter act on the request.
    package mutating func use(_ adapter: EngineAdapter) {
        adapters = [adapter.slot]
        root.adapter = adapter.number
    }
}
