// SPDX-License-Identifier: Apache-2.0
// One layer's weights in panel form in a file: the record, and a footer that says what it is.
import EftConfig
import EftFormats
import EftTensor

/// A file of the panel cache, opened for reading.
///
/// | bytes | content |
/// |---|---|
/// | 0 ..< n | the layer's record (`LayerRecord`), padded with zeros |
/// | n ..< m | where there are experts, the XXH64 of each one's part of the record, 8 bytes, padded to whole pages; else m is n |
/// | m ..< m + 4096 | JSON: format version, fingerprint of the cache, layer, n, XXH64 of the record and of the table; then spaces |
package final class PanelFile: Sendable {
    /// Bytes of the footer.
    package static let footerBytes = DirectFile.alignment
    /// Raised whenever the panels of any weight come to lie in another way.
    package static let version = 1

    /// The layer's number.
    package let layer: Int
    /// Where its weights lie.
    package let record: LayerRecord
    /// The file.
    package var path: String { file.path }
    private let file: DirectFile
    private let checksum: String
    /// Of each expert.
    private let expertChecksums: [UInt64]

    /// What a footer says.
    struct Footer: Hashable {
        var fingerprint: String
        var layer: Int
        var byteCount: Int
        var checksum: String
        /// Of the table of experts; nil where there is none.
        var table: String?

        var bytes: [UInt8] {
            var object: ConfigObject = [
                "format": "eft-panels", "version": ConfigNode(PanelFile.version),
                "fingerprint": ConfigNode(fingerprint), "layer": ConfigNode(layer),
                "bytes": ConfigNode(byteCount), "xxh64": ConfigNode(checksum),
            ]
            if let table { object["experts"] = ConfigNode(table) }
            let text = Array(JSONWriter.text(ConfigNode(.object(object))).utf8)
            return text + [UInt8](repeating: 0x20, count: PanelFile.footerBytes - text.count)
        }
    }

    /// Opens a file and checks its footer; the record itself is checked when it is read for the first time.
    /// - Parameter direct: whether to read past the page cache where possible.
    /// - Throws: `FormatError` (`missing`, `damaged`, `unreadable`), `TensorError`.
    package init(
        path: String, layer: Int, record: LayerRecord, fingerprint: String, direct: Bool = true
    ) throws {
        let file = try DirectFile(path: path, direct: direct)
        guard file.byteCount == record.fileBytes else {
            throw PanelFile.damaged("has \(file.byteCount) bytes", path)
        }
        let size = record.tableBytes + PanelFile.footerBytes
        let end = try Buffer(byteCount: size, ledger: nil, purpose: .window, pageAligned: true)
        let all = try withExtendedLifetime(end) {
            try file.read(at: record.byteCount, into: end.bytes)
            return Array(end.bytes)
        }
        let (table, bytes) = (all.prefix(record.tableBytes), Array(all[record.tableBytes...]))
        guard
            let cursor = try? ConfigCursor(JSONParser.parse(bytes)),
            let checksum = try? cursor.required("xxh64").string(), checksum.utf8.count == 16
        else { throw PanelFile.damaged("has no readable footer", path) }
        let expected = Footer(
            fingerprint: fingerprint, layer: layer, byteCount: record.byteCount, checksum: checksum,
            table: table.isEmpty ? nil : XXH64.hex(table.withUnsafeBytes { XXH64.hash($0) }))
        guard expected.bytes == bytes else {
            throw PanelFile.damaged("was made of other weights", path)
        }
        self.file = file
        self.layer = layer
        self.record = record
        self.checksum = checksum
        expertChecksums = (0..<(record.experts?.count ?? 0)).map { expert in
            table[8 * expert..<8 * expert + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
    }

    /// Reads the record into memory that begins at a page.
    /// - Parameters:
    ///   - verify: whether to check the record against its checksum and layouts.
    ///   - ring: of the reading thread.
    ///   - shouldStop: asked now and then; when it says yes, false is returned and the memory holds anything.
    /// - Throws: `FormatError` for short reads, faults of the disk and damaged records.
    package func read(
        into target: UnsafeMutableRawBufferPointer, verify: Bool, ring: ReadRing? = nil,
        shouldStop: () -> Bool = { false }
    ) throws(FormatError) -> Bool {
        let target = UnsafeMutableRawBufferPointer(rebasing: target[..<record.byteCount])
        guard try file.read(at: 0, into: target, ring: ring, shouldStop: shouldStop) else {
            return false
        }
        guard verify else { return true }
        let bytes = UnsafeRawBufferPointer(target)
        guard XXH64.hex(XXH64.hash(bytes)) == checksum else {
            throw PanelFile.damaged("does not match its checksum", path)
        }
        for (layout, offset) in zip(record.layouts, record.offsets)
        where !layout.hasSoundTables(UnsafeRawBufferPointer(rebasing: bytes[offset...])) {
            throw PanelFile.damaged("holds tables of other weights", path)
        }
        return true
    }

    /// Reads the record of one expert into memory that begins at a page.
    /// - Parameters:
    ///   - verify: whether to check it against its checksum and layouts.
    ///   - shouldStop: asked now and then; when it says yes, false is returned and the memory holds anything.
    /// - Throws: as the other form.
    package func read(
        expert: Int, into target: UnsafeMutableRawBufferPointer, verify: Bool,
        shouldStop: () -> Bool = { false }
    ) throws(FormatError) -> Bool {
        guard let experts = record.experts, expertChecksums.indices.contains(expert) else {
            preconditionFailure("layer \(layer) has no expert \(expert)")
        }
        let place = record.bytes(ofExpert: expert)
        let target = UnsafeMutableRawBufferPointer(rebasing: target[..<place.count])
        guard try file.read(at: place.lowerBound, into: target, shouldStop: shouldStop) else {
            return false
        }
        guard verify else { return true }
        let bytes = UnsafeRawBufferPointer(target)
        guard XXH64.hash(bytes) == expertChecksums[expert] else {
            throw PanelFile.damaged("does not match its checksum of expert \(expert)", path)
        }
        for linear in experts.linears(of: expert) {
            let own = bytes[(record.offsets[linear] - place.lowerBound)...]
            guard record.layouts[linear].hasSoundTables(UnsafeRawBufferPointer(rebasing: own))
            else { throw PanelFile.damaged("holds tables of other weights", path) }
        }
        return true
    }

    private static func damaged(_ what: String, _ path: String) -> FormatError {
        FormatError(
            .damaged, "this file of the cache \(what); remove it, and it is made again", path: path)
    }
}
