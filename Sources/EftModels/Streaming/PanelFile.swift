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
/// | n ..< n + 4096 | JSON: format version, fingerprint of the cache, layer, n, XXH64 of the record; then spaces |
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

    /// What a footer says.
    struct Footer: Hashable {
        var fingerprint: String
        var layer: Int
        var byteCount: Int
        var checksum: String

        var bytes: [UInt8] {
            let node: ConfigNode = [
                "format": "eft-panels", "version": ConfigNode(PanelFile.version),
                "fingerprint": ConfigNode(fingerprint), "layer": ConfigNode(layer),
                "bytes": ConfigNode(byteCount), "xxh64": ConfigNode(checksum),
            ]
            let text = Array(JSONWriter.text(node).utf8)
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
        guard file.byteCount == record.byteCount + PanelFile.footerBytes else {
            throw PanelFile.damaged("has \(file.byteCount) bytes", path)
        }
        let page = try Buffer(
            byteCount: PanelFile.footerBytes, ledger: nil, purpose: .window, pageAligned: true)
        let bytes = try withExtendedLifetime(page) {
            try file.read(at: record.byteCount, into: page.bytes)
            return Array(page.bytes)
        }
        guard
            let cursor = try? ConfigCursor(JSONParser.parse(bytes)),
            let checksum = try? cursor.required("xxh64").string(), checksum.utf8.count == 16
        else { throw PanelFile.damaged("has no readable footer", path) }
        let expected = Footer(
            fingerprint: fingerprint, layer: layer, byteCount: record.byteCount, checksum: checksum)
        guard expected.bytes == bytes else {
            throw PanelFile.damaged("was made of other weights", path)
        }
        self.file = file
        self.layer = layer
        self.record = record
        self.checksum = checksum
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

    private static func damaged(_ what: String, _ path: String) -> FormatError {
        FormatError(
            .damaged, "this file of the cache \(what); remove it, and it is made again", path: path)
    }
}

/// Writes one file of the panel cache, weight by weight.
struct PanelFileWriter {
    private let output: OutputFile
    private let record: LayerRecord
    private let layer: Int
    private let fingerprint: String
    private var checksum = XXH64()
    private var position = 0
    private static let zeros = [UInt8](repeating: 0, count: DirectFile.alignment)

    /// Begins a file.
    /// - Throws: `FormatError` (`io`).
    init(path: String, layer: Int, record: LayerRecord, fingerprint: String) throws(FormatError) {
        output = try OutputFile(path: path)
        self.record = record
        self.layer = layer
        self.fingerprint = fingerprint
    }

    /// Appends the layer's next weight.
    /// - Throws: `FormatError` (`io`).
    mutating func append(_ weight: PackedWeight) throws(FormatError) {
        for part in weight.recordParts { try append(part.bytes) }
        try output.flush()
    }

    /// Appends a part and zeros up to the next multiple of 64 bytes.
    private mutating func append(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        let whole = bytes.count / WeightRecord.alignment * WeightRecord.alignment
        let body = UnsafeRawBufferPointer(rebasing: bytes[..<whole])
        checksum.update(body)
        try output.write(body)
        position += bytes.count
        guard whole < bytes.count else { return }
        var rest = Array(bytes[whole...])
        rest += PanelFileWriter.zeros[..<(WeightRecord.alignment - rest.count)]
        try write(rest)
        position += whole + WeightRecord.alignment - bytes.count
    }

    private mutating func write(_ bytes: [UInt8]) throws(FormatError) {
        bytes.withUnsafeBytes { checksum.update($0) }
        try output.write(bytes)
    }

    /// Ends the record, writes the footer, and gives the file its name.
    /// - Throws: `FormatError` (`io`).
    mutating func publish() throws(FormatError) {
        precondition(position <= record.byteCount, "more weights than the record has")
        try write(Array(PanelFileWriter.zeros[..<(record.byteCount - position)]))
        let footer = PanelFile.Footer(
            fingerprint: fingerprint, layer: layer, byteCount: record.byteCount,
            checksum: XXH64.hex(checksum.finish()))
        try output.write(footer.bytes)
        try output.flush()
        try output.publish()
    }
}
