// SPDX-License-Identifier: Apache-2.0
// What is on this machine under a name: models and data sets of the hub, and what was made of models.
import EftCommandLine
import EftConfig
import EftFormats
import EftHub
import EftModels

#if canImport(Glibc)
    import Glibc
#endif

/// Something that `eft list` shows and `eft rm` removes.
struct LocalItem {
    /// What it is called.
    let name: String
    let byteCount: Int
    /// What it consists of, in words.
    let form: String
    /// Seconds since 1970.
    let lastUsed: Int
    /// The folder or file.
    let place: String
    private let origin: Origin

    private enum Origin {
        case hub(HubCacheEntry, HubCache)
        /// A folder of Eft's own.
        case made(kind: String)
    }

    /// Everything there is, in groups, by name.
    static func all(_ arguments: ParsedArguments) throws -> [LocalItem] {
        let cache = HubSettings.ofUser.cacheFolder.map(HubCache.init(folder:))
        let hub = cache.map { cache in cache.entries().map { LocalItem($0, cache) } } ?? []
        let folder = try arguments.string("cache-dir") ?? CacheFolder.standard()
        let made = ((try? FileSystem.list(folder)) ?? []).compactMap {
            LocalItem(made: FileSystem.join(folder, $0))
        }
        return hub.sorted { $0.name < $1.name } + made.sorted { $0.name < $1.name }
    }

    private init(_ entry: HubCacheEntry, _ cache: HubCache) {
        name = (entry.repository.kind == .dataset ? "datasets/" : "") + entry.name
        byteCount = entry.byteCount
        form = (entry.isWhole ? "" : "in part: ") + Self.form(of: entry)
        lastUsed = entry.lastUsed
        place = entry.path
        origin = .hub(entry, cache)
    }

    /// A folder in the cache that Eft has made of a model; nil for any other folder.
    private init?(made folder: String) {
        let notes = [("eft-source.json", "base in NF4"), ("manifest.json", "layers for streaming")]
        guard let (note, kind) = notes.first(where: { FileSystem.exists("\(folder)/\($0.0)") }),
            let bytes = try? FileSystem.read("\(folder)/\(note)", limit: 64 << 20),
            let node = try? JSONParser.parse(bytes),
            let source = try? ConfigCursor(node).required("source").string()
        else { return nil }
        var (sum, used) = (0, 0)
        for name in (try? FileSystem.list(folder)) ?? [] {
            var status = stat()
            guard stat(FileSystem.join(folder, name), &status) == 0 else { continue }
            sum += Int(status.st_size)
            used = max(used, status.st_atim.tv_sec, status.st_mtim.tv_sec)
        }
        name = FileSystem.name(of: folder)
        byteCount = sum
        form = "\(kind), of \(source)"
        lastUsed = used
        place = folder
        origin = .made(kind: kind)
    }

    /// What a model's own files say that it consists of.
    private static func form(of entry: HubCacheEntry) -> String {
        if entry.repository.kind == .dataset { return "data set" }
        if let variant = entry.variant { return "GGUF \(variant)" }
        guard let bytes = try? FileSystem.read("\(entry.path)/config.json", limit: 16 << 20),
            let node = try? JSONParser.parse(bytes)
        else {
            return FileSystem.exists("\(entry.path)/adapter_config.json") ? "adapter" : "files"
        }
        let config = ConfigCursor(node)
        let type = (try? config.string("model_type", default: "")) ?? ""
        if let method = try? config.optional("quantization_config")?
            .string("quant_method", default: ""), !method.isEmpty
        {
            return "\(type) \(method)"
        }
        let dtype =
            (try? config.optional("dtype")?.string())
            ?? (try? config.optional("torch_dtype")?.string()) ?? ""
        return [type, dtype].filter { !$0.isEmpty }.joined(separator: " ")
    }

    // MARK: Showing

    /// Now, in seconds since 1970.
    static var now: Int { time(nil) }

    /// How long ago it was used.
    func age(now: Int) -> String {
        let seconds = max(0, now - lastUsed)
        for (unit, size) in [("day", 86400), ("hour", 3600), ("minute", 60)] where seconds >= size {
            let count = seconds / size
            return "\(count) \(unit)\(count == 1 ? "" : "s") ago"
        }
        return "now"
    }

    /// The item as JSON.
    var node: ConfigNode {
        var object = ConfigObject()
        object["name"] = ConfigNode(name)
        object["bytes"] = ConfigNode(byteCount)
        object["form"] = ConfigNode(form)
        object["last_used"] = ConfigNode(lastUsed)
        object["path"] = ConfigNode(place)
        switch origin {
        case .hub(let entry, _):
            object["kind"] = ConfigNode(entry.repository.kind.rawValue)
            object["commit"] = ConfigNode(entry.commit)
            object["complete"] = ConfigNode(.bool(entry.isWhole))
        case .made(let kind): object["kind"] = ConfigNode(kind)
        }
        return ConfigNode(object)
    }

    // MARK: Removing

    /// Whether it goes by a name: its own, or that of the repository that it is of.
    func isMeant(by text: String) -> Bool {
        if text == name || text == place { return true }
        guard case .hub(let entry, _) = origin else { return false }
        return text == (entry.repository.kind == .dataset ? "datasets/" : "") + entry.repository.id
    }

    /// Removes what goes by a name.
    /// - Returns: bytes that are free again.
    static func remove(_ items: [LocalItem], named name: String) throws -> Int {
        var bytes = 0
        var whole: Set<String> = []
        for item in items {
            switch item.origin {
            case .made:
                try HubCache.removeTree(item.place)
                bytes += item.byteCount
            case .hub(let entry, let cache):
                let id = entry.repository.id
                let isWhole = name == id || name == "datasets/" + id
                if isWhole {
                    if whole.insert(id).inserted { bytes += try cache.remove(entry.repository) }
                } else {
                    bytes += try cache.remove(entry)
                }
            }
        }
        return bytes
    }
}
