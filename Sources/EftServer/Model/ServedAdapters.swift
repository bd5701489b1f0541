// SPDX-License-Identifier: Apache-2.0
// Adapters by the names under which requests ask for them.
import EftConfig
import EftGeneration
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// The adapters that are served, which may come and go.
package final class ServedAdapters: Sendable {
    struct Entry: Sendable {
        let adapter: EngineAdapter
        let path: String
        let created: Int
    }

    private struct State {
        var entries: [String: Entry] = [:]
        /// Names that are being loaded.
        var coming: Set<String> = []
    }

    private let engine: Engine
    private let folder: String?
    private let most: Int
    private let taken: Set<String>
    private let state = Mutex(State())

    init(engine: Engine, folder: String?, most: Int, taken: [String]) {
        self.engine = engine
        self.folder = folder
        self.most = most
        self.taken = Set(taken)
    }

    /// Whether adapters may be loaded and unloaded by requests.
    var isOpen: Bool { folder != nil }

    /// All names, sorted.
    var names: [String] { state.withLock { $0.entries.keys.sorted() } }

    /// All adapters, sorted by name.
    var all: [(name: String, entry: Entry)] {
        state.withLock { state in
            state.entries.map { (name: $0.key, entry: $0.value) }.sorted { $0.name < $1.name }
        }
    }

    /// The adapter of a name.
    func find(_ name: String) -> EngineAdapter? {
        state.withLock { $0.entries[name]?.adapter }
    }

    /// The name of the adapter with the number of a loading; nil when it is gone.
    func name(of number: Int) -> String? {
        state.withLock { $0.entries.first { $0.value.adapter.number == number }?.key }
    }

    /// Loads an adapter from any folder, as the command line names it.
    /// - Throws: what reading it throws; `HTTPFailure` for a name that is taken.
    package func load(_ name: String, path: String) throws {
        try reserve(name, replacing: false)
        defer { state.withLock { _ = $0.coming.remove(name) } }
        let adapter = try engine.perform { try $0.loadAdapter(path) }
        state.withLock {
            $0.entries[name] = Entry(adapter: adapter, path: path, created: UnixTime.seconds)
        }
    }

    /// Serves an adapter that the engine has already.
    /// - Throws: `HTTPFailure` for a name that is taken.
    package func adopt(_ name: String, _ adapter: EngineAdapter, path: String) throws {
        try reserve(name, replacing: false)
        state.withLock { state in
            state.coming.remove(name)
            state.entries[name] = Entry(adapter: adapter, path: path, created: UnixTime.seconds)
        }
    }

    /// Loads an adapter as a request names it: from below the folder that was opened for that.
    /// - Parameter replacing: whether an adapter of the same name gives way.
    /// - Throws: `HTTPFailure`.
    func loadRequested(_ name: String, path: String, replacing: Bool) throws(HTTPFailure) {
        guard !name.isEmpty, name.utf8.count <= 256, !name.utf8.contains(where: { $0 < 32 }) else {
            throw invalid("lora_name must have 1 to 256 characters", "lora_name")
        }
        let whole = try confined(path)
        try reserve(name, replacing: replacing)
        defer { state.withLock { _ = $0.coming.remove(name) } }
        let old = state.withLock { $0.entries[name] }
        let adapter: EngineAdapter
        do {
            adapter = try engine.perform { try $0.loadAdapter(whole) }
        } catch {
            throw invalid("the adapter cannot be loaded: \(withoutPaths(error))", "lora_path")
        }
        state.withLock {
            $0.entries[name] = Entry(adapter: adapter, path: path, created: UnixTime.seconds)
        }
        if let old { remove(old) }
    }

    /// Takes an adapter away; requests that use it finish first.
    /// - Throws: `HTTPFailure` (404).
    func unload(_ name: String) throws(HTTPFailure) {
        guard let entry = state.withLock({ $0.entries.removeValue(forKey: name) }) else {
            throw .notFound(
                "The lora adapter `\(excerpt(name, limit: 100))` cannot be found.",
                parameter: "lora_name")
        }
        remove(entry)
    }

    private func remove(_ entry: Entry) {
        // A stopping engine has no use for it anyway.
        try? engine.perform { $0.unloadAdapter(entry.adapter) }
    }

    private func reserve(_ name: String, replacing: Bool) throws(HTTPFailure) {
        let failure = state.withLock { state -> HTTPFailure? in
            if taken.contains(name) { return invalid("the base model has this name", "lora_name") }
            if state.coming.contains(name) || (!replacing && state.entries[name] != nil) {
                return invalid("an adapter of this name is loaded already", "lora_name")
            }
            if state.entries[name] == nil, state.entries.count + state.coming.count >= most {
                return invalid(
                    "\(most) adapters are loaded, which is the most; unload one first", "lora_name")
            }
            state.coming.insert(name)
            return nil
        }
        if let failure { throw failure }
    }

    /// The real path of a folder, which must lie below the one that was opened.
    private func confined(_ path: String) throws(HTTPFailure) -> String {
        guard let folder, let base = realPath(folder) else {
            throw .notFound("adapters are not loaded at run time here")
        }
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw invalid("lora_path must name a folder", "lora_path")
        }
        // The same answer for what lies outside and what does not exist: nothing is told of other folders.
        guard let whole = realPath(path.hasPrefix("/") ? path : base + "/" + path),
            whole.hasPrefix(base + "/")
        else {
            throw .notFound(
                "there is no such adapter below the folder of adapters", parameter: "lora_path")
        }
        return whole
    }

    private func realPath(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    private func invalid(_ message: String, _ parameter: String) -> HTTPFailure {
        HTTPFailure(400, type: "InvalidUserInput", message, parameter: parameter)
    }

    /// What is wrong, without the folders of this machine.
    private func withoutPaths(_ error: any Error) -> String {
        var words = String(describing: error).split(separator: " ")
        for index in words.indices where words[index].contains("/") { words[index] = "(path)" }
        return words.joined(separator: " ")
    }
}
