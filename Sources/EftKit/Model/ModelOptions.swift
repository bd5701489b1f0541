// SPDX-License-Identifier: Apache-2.0
// How a model is loaded: memory, context, adapters, precision.
import EftGeneration
import EftModels
import EftPlanning
import EftTensor

/// How a model is loaded.
public struct ModelOptions: Sendable, Hashable {
    /// A PEFT adapter under the name by which requests choose it.
    public struct Adapter: Sendable, Hashable {
        /// The name.
        public var name: String
        /// The adapter's folder.
        public var folder: String

        /// Names an adapter.
        public init(name: String, folder: String) {
            self.name = name
            self.folder = folder
        }
    }

    /// The precision in which activations enter products.
    public enum Precision: String, Sendable, Hashable, CaseIterable {
        /// Exact f32.
        case f32
        /// Rounded to bf16.
        case bf16
        /// 16-bit integers for EXL2 weights, f32 elsewhere.
        case int16
        /// 8-bit integers for EXL2 weights: faster for many tokens at once, with more error.
        case int8
    }

    /// The form of keys and values in the cache.
    public enum KVCacheType: String, Sendable, Hashable, CaseIterable {
        case f32, f16, bf16
        /// Rotated codes of 8 bits.
        case q8
        /// Rotated codes: keys 8 bits, values 4.
        case q6
        /// Rotated codes of 4 bits.
        case q4
    }

    /// Most bytes to hold, for each device; empty for one device with the machine's memory less a margin.
    ///
    /// Several sizes divide the model over as many logical devices. Layers that do not fit are streamed from disk.
    public var memoryLimits: [Int] = []
    /// Most tokens of a request, prompt and answer; the model's own context, or as much as fits, when nil.
    public var contextLength: Int?
    /// Most requests that are computed at once; further ones wait.
    public var maxConcurrentRequests = 4
    /// Worker threads; all processors when nil.
    public var threads: Int?
    /// Whether a 16-bit model's layers are held in NF4, as QLoRA training holds them.
    public var loadIn4Bit = false
    /// Whether a 16-bit model's layers are held in 8 bits, as LLM.int8 holds them. `loadIn4Bit` goes before it.
    public var loadIn8Bit = false
    /// The form of keys and values.
    public var kvCacheType = KVCacheType.bf16
    /// The precision of activations.
    public var precision = Precision.int16
    /// Adapters that are loaded with the model. A request uses the one that it names.
    public var adapters: [Adapter] = []
    /// Most adapters at a time; memory is planned for those that are loaded later.
    public var maxAdapters = 0
    /// The highest rank of an adapter that is loaded later.
    public var maxAdapterRank = 16
    /// Where layers are kept in the form in which they are streamed; `~/.cache/eft` when nil.
    public var cacheFolder: String?

    /// The defaults.
    public init() {}

    /// Sets the memory limit of a single device.
    public init(memoryLimit: Int) { memoryLimits = [memoryLimit] }

    /// The limits that hold.
    var limits: [Int] { memoryLimits.isEmpty ? [ProcessMemory.defaultLimit] : memoryLimits }

    /// - Throws: `EftError` (`usage`) for numbers that make no sense.
    func check() throws(EftError) {
        guard limits.count <= 64, limits.allSatisfy({ $0 > 0 }) else {
            throw EftError(.usage, "memoryLimits takes 1 to 64 sizes above 0")
        }
        guard (1...4096).contains(maxConcurrentRequests) else {
            throw EftError(
                .usage, "maxConcurrentRequests is \(maxConcurrentRequests); 1 to 4096 can be held")
        }
        if let contextLength, !(1...(1 << 24)).contains(contextLength) {
            throw EftError(.usage, "contextLength is \(contextLength); it must be positive")
        }
        if let threads, !(1...1024).contains(threads) {
            throw EftError(.usage, "threads is \(threads); 1 to 1024 can be started")
        }
        guard (0...4096).contains(maxAdapters), (1...(1 << 16)).contains(maxAdapterRank) else {
            throw EftError(.usage, "maxAdapters or maxAdapterRank is out of range")
        }
        let names = adapters.map(\.name)
        guard Set(names).count == names.count, !names.contains("") else {
            throw EftError(.usage, "each adapter needs a name of its own")
        }
    }
}
