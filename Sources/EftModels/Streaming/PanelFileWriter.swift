// SPDX-License-Identifier: Apache-2.0
// Writes one file of the panel cache.
import EftFormats
import EftTensor

/// Writes one file of the panel cache, weight by weight.
struct PanelFileWriter {
    private let output: OutputFile
    private let record: LayerRecord
    private let layer: Int
    private let fingerprint: String
    private var checksum = XXH64()
    private var position = 0
    /// Weights so far.
    private var count = 0
    /// The checksum of the expert that is being written; nil outside of experts.
    private var expert: XXH64?
    private var expertChecksums: [UInt64] = []
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
        precondition(count < record.offsets.count, "more weights than the record has")
        try pad(to: record.offsets[count])
        beginExpert()
        count += 1
        for part in weight.recordParts { try append(part.bytes) }
        try output.flush()
    }

    /// Ends the expert before the next weight, and begins the one that it is the first of.
    private mutating func beginExpert() {
        guard let experts = record.experts else { return }
        let place = count - experts.first
        guard place >= 0, place % experts.each == 0 else { return }
        endExpert()
        if place < experts.count * experts.each { expert = XXH64() }
    }

    private mutating func endExpert() {
        if let expert { expertChecksums.append(expert.finish()) }
        expert = nil
    }

    /// Appends a part and zeros up to the next multiple of 64 bytes.
    private mutating func append(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        let whole = bytes.count / WeightRecord.alignment * WeightRecord.alignment
        try write(UnsafeRawBufferPointer(rebasing: bytes[..<whole]))
        guard whole < bytes.count else { return }
        var rest = Array(bytes[whole...])
        rest += PanelFileWriter.zeros[..<(WeightRecord.alignment - rest.count)]
        try rest.withRawBytes { (bytes) throws(FormatError) in try write(bytes) }
    }

    /// Writes bytes of the record, a multiple of 64.
    private mutating func write(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
        checksum.update(bytes)
        expert?.update(bytes)
        try output.write(bytes)
        position += bytes.count
    }

    /// Writes zeros up to a place of the record.
    private mutating func pad(to end: Int) throws(FormatError) {
        precondition(
            position <= end && end - position <= PanelFileWriter.zeros.count,
            "weights of other sizes than the record has")
        let count = end - position
        try PanelFileWriter.zeros.withRawBytes { (bytes) throws(FormatError) in
            try write(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
        }
    }

    /// Ends the record, writes what stands behind it, and gives the file its name.
    /// - Throws: `FormatError` (`io`).
    mutating func publish() throws(FormatError) {
        try pad(to: record.byteCount)
        endExpert()
        var table = expertChecksums.flatMap { sum in
            (0..<8).map { UInt8(truncatingIfNeeded: sum >> (8 * UInt64($0))) }
        }
        table += [UInt8](repeating: 0, count: record.tableBytes - table.count)
        try output.write(table)
        let footer = PanelFile.Footer(
            fingerprint: fingerprint, layer: layer, byteCount: record.byteCount,
            checksum: XXH64.hex(checksum.finish()),
            table: table.isEmpty ? nil : XXH64.hex(table.withUnsafeBytes { XXH64.hash($0) }))
        try output.write(footer.bytes)
        try output.flush()
        try output.publish()
    }
}
