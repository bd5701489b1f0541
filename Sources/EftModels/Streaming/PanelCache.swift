// SPDX-License-Identifier: Apache-2.0
// The folder that holds a model's layers in panel form, made once and streamed from ever after.
import EftConfig
import EftFormats
import EftNN
import EftQuant
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// Where caches lie when nobody says.
package enum CacheFolder {
    /// `$XDG_CACHE_HOME/eft`, or `~/.cache/eft`.
    /// - Throws: `ModelError` when the environment names no home.
    package static func standard() throws(ModelError) -> String {
        func value(_ name: String) -> String? {
            guard let text = getenv(name).map({ String(cString: $0) }), text.hasPrefix("/") else {
                return nil
            }
            return text
        }
        if let folder = value("XDG_CACHE_HOME") { return FileSystem.join(folder, "eft") }
        guard let home = value("HOME") else {
            throw ModelError(
                .invalidInput,
                "there is no place for the cache of streamed layers: neither XDG_CACHE_HOME nor HOME is set; "
                    + "give --cache-dir")
        }
        return FileSystem.join(home, ".cache/eft")
    }
}

/// Layers of one model, held in one way, as files of packed weights.
///
/// `manifest.json` names the format's version, the source files with sizes and times, and all layouts; a cache whose
/// manifest is not exactly that of this model is removed. Each layer is a file of its own (`PanelFile`) that
/// repeats a checksum of the manifest, is written aside, synced and renamed: a killed repack goes on at its next layer.
package struct PanelCache: Sendable {
    /// The folder.
    package let folder: String
    /// The records of all layers, whether they are in the cache or not.
    package let records: [LayerRecord]
    /// Says how many bytes can still be written to a folder; nil when that is not known.
    package var freeBytes: @Sendable (_ folder: String) -> Int? = { FileSystem.freeBytes($0) }
    private let loader: DecoderLoader
    private let manifest: String
    private let fingerprint: String

    static let manifestName = "manifest.json"

    /// Finds the place of a model's cache below a folder of caches; reads tables, writes nothing.
    /// - Throws: `FormatError`, `ModelError`.
    package init(_ loader: DecoderLoader, layouts: DecoderLayouts, below caches: String) throws {
        self.loader = loader
        records = layouts.records
        let source = FileSystem.absolute(loader.folder.path)
        let target = loader.options.linears.cacheName
        let place = XXH64.hex(source + "|" + target)
        folder = FileSystem.join(caches, "\(FileSystem.name(of: source))-\(target)-\(place)")
        manifest = try PanelCache.manifest(loader, source: source, target: target, records)
        fingerprint = XXH64.hex(manifest)
    }

    private static func manifest(
        _ loader: DecoderLoader, source: String, target: String, _ records: [LayerRecord]
    ) throws -> String {
        let files = (loader.folder.checkpoint?.files ?? []).sorted().map { path in
            [
                "name": ConfigNode(FileSystem.name(of: path)),
                "bytes": ConfigNode(FileSystem.byteCount(path) ?? -1),
                "modified": ConfigNode(FileSystem.modified(path) ?? -1),
            ] as ConfigNode
        }
        let layers = records.map { record in
            ConfigNode(.array(record.layouts.map { ConfigNode($0.cacheText) }))
        }
        let node: ConfigNode = [
            "format": "eft-panels", "version": ConfigNode(PanelFile.version),
            "source": ConfigNode(source), "held": ConfigNode(target),
            "files": ConfigNode(.array(files)), "layers": ConfigNode(.array(layers)),
        ]
        return JSONWriter.text(node, layout: .indented(1)) + "\n"
    }

    /// The file of a layer.
    package func path(layer: Int) -> String {
        FileSystem.join(folder, "layer-\(layer).panels")
    }

    /// Opens the file of a layer.
    /// - Throws: `FormatError` when it is not there or belongs to other weights.
    package func open(layer: Int, direct: Bool = true) throws -> PanelFile {
        try PanelFile(
            path: path(layer: layer), layer: layer, record: records[layer],
            fingerprint: fingerprint, direct: direct)
    }

    // MARK: Making

    private var isCurrent: Bool {
        let path = FileSystem.join(folder, PanelCache.manifestName)
        return (try? FileSystem.read(path)) == Array(manifest.utf8)
    }

    /// Those of `layers` that are not in the cache yet, or only stale or cut off.
    package func missing(_ layers: [Int]) -> [Int] {
        guard isCurrent else { return layers }
        return layers.filter { (try? open(layer: $0)) == nil }
    }

    /// Bytes that making layers will write.
    package func bytesToWrite(_ layers: [Int]) -> Int {
        missing(layers).reduce(0) { $0 + records[$1].fileBytes }
    }

    /// Makes those of `layers` that are missing, one weight at a time; see the other form.
    package func fill(
        _ layers: [Int], backend: CPUBackend,
        progress: (_ done: Int, _ total: Int) throws -> Void = { _, _ in }
    ) throws {
        try fill(layers, on: { _ in backend }, progress: progress)
    }

    /// Makes those of the streamed layers of a placement that are missing, each on its own device.
    package func fill(
        _ placement: WeightPlacement, devices: [CPUBackend],
        progress: (_ done: Int, _ total: Int) throws -> Void
    ) throws {
        try fill(
            placement.streamed,
            on: { layer in
                devices[placement.parts.firstIndex { $0.layers.contains(layer) } ?? 0]
            }, progress: progress)
    }

    /// Makes those of `layers` that are missing, one weight at a time (`LoadNeed.fillPeak`).
    /// - Parameters:
    ///   - backend: the device on which a layer is made.
    ///   - progress: called with how many of the missing layers are done; what it throws ends the work, and what is
    ///     made stays.
    /// - Throws: `FormatError` (`io`) when the disk has no room, and what loading throws.
    private func fill(
        _ layers: [Int], on backend: (_ layer: Int) -> CPUBackend,
        progress: (_ done: Int, _ total: Int) throws -> Void
    ) throws {
        try FileSystem.createFolder(folder)
        if !isCurrent { try startAnew() }
        try removeUnfinished()
        let missing = missing(layers)
        for layer in missing { try FileSystem.remove(path(layer: layer)) }
        try requireRoom(bytesToWrite(layers))
        guard let first = missing.first else { return }
        let ahead = try loader.readingAhead(
            layers: missing, ends: [], ledger: backend(first).ledger)
        for (index, layer) in missing.enumerated() {
            try progress(index, missing.count)
            try write(layer, from: ahead, backend: backend(layer))
        }
        try progress(missing.count, missing.count)
    }

    /// Removes what other weights left, the manifest first, so that no layer is ever taken for another model's.
    private func startAnew() throws {
        try FileSystem.remove(FileSystem.join(folder, PanelCache.manifestName))
        for name in try FileSystem.list(folder)
        where name.hasPrefix("layer-") {
            try FileSystem.remove(FileSystem.join(folder, name))
        }
        try AtomicFile.write(FileSystem.join(folder, PanelCache.manifestName), manifest)
    }

    /// Removes what killed runs left of layers that this one may not stream.
    private func removeUnfinished() throws {
        for name in try FileSystem.list(folder) where name.hasSuffix(OutputFile.partialSuffix) {
            // A process that takes such a file over and writes nothing removes it; one that is being written is not handed out.
            let path = FileSystem.join(
                folder, String(name.dropLast(OutputFile.partialSuffix.count)))
            _ = try? OutputFile(path: path)
        }
    }

    private func requireRoom(_ bytes: Int) throws {
        guard let free = freeBytes(folder), free < bytes else { return }
        throw FormatError(
            .io,
            "streaming needs \(formatBytes(bytes)) of disk once for layers in panel form, \(formatBytes(free)) "
                + "are free here; make room, or give --cache-dir on another disk", path: folder)
    }

    private func write(_ layer: Int, from loader: DecoderLoader, backend: CPUBackend) throws {
        var writer = try PanelFileWriter(
            path: path(layer: layer), layer: layer, record: records[layer],
            fingerprint: fingerprint)
        for linear in loader.folder.description.linears(layer: layer) {
            try writer.append(loader.weight(linear, backend: backend, purpose: .workspace))
        }
        try writer.publish()
        // The sources are larger than memory, and what of them was read is not needed again.
        for file in loader.folder.checkpoint?.files ?? [] { FileSystem.dropCachedPages(file) }
    }
}

extension WeightTarget {
    /// The word for a cache's name.
    fileprivate var cacheName: String {
        switch self {
        case .asStored: "stored"
        case .nf4(let double): double ? "nf4-double" : "nf4"
        case .int8: "int8"
        case .f32: "f32"
        }
    }
}

extension WeightLayout {
    /// The layout as a line of the manifest, such as `64x96 coded nf4 f32 2x4 permuted`.
    fileprivate var cacheText: String {
        var words = ["\(inputs)x\(outputs)"]
        switch format {
        case .f32: words.append("f32")
        case .f16: words.append("f16")
        case .bf16: words.append("bf16")
        case .coded(let book, let scales, let groups, let permuted):
            words += ["coded", "\(book)", scales.rawValue]
            // Runs of equal groups as `count*blocks:bits`.
            var start = 0
            while start < groups.count {
                let end = groups[start...].firstIndex { $0 != groups[start] } ?? groups.count
                words.append("\(end - start)*\(groups[start].blocks):\(groups[start].bits)")
                start = end
            }
            if permuted { words.append("permuted") }
        }
        return words.joined(separator: " ")
    }
}
