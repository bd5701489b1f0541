// SPDX-License-Identifier: Apache-2.0
// The records of TensorBoard's event files, byte by byte.
import EftFormats

/// Events as TensorBoard reads them: protocol buffers in the frames of TFRecord.
///
/// A record is, in little-endian order:
///
/// | bytes | content |
/// |---|---|
/// | 8 | length n of the event |
/// | 4 | masked CRC-32C of these 8 bytes |
/// | n | the event |
/// | 4 | masked CRC-32C of the event |
///
/// Fields of `tensorflow.Event` that are written: `wall_time` 1 (double), `step` 2 (int64), `file_version` 3 (string), `summary` 5,
/// `session_log` 7; of `Summary.Value`: `tag` 1 (string), `simple_value` 2 (float).
enum EventRecord {
    /// The first record of a file.
    static func header(time: Double) -> [UInt8] {
        var event = ProtobufMessage()
        event.append(1, double: time)
        event.append(3, bytes: Array("brain.Event:2".utf8))
        return framed(event.bytes)
    }

    /// Says that the run goes on with this step: what older files have of it or of later steps does not count.
    static func start(step: Int, time: Double) -> [UInt8] {
        var session = ProtobufMessage()
        session.append(1, integer: 1)
        var event = ProtobufMessage()
        event.append(1, double: time)
        event.append(2, integer: step)
        event.append(7, bytes: session.bytes)
        return framed(event.bytes)
    }

    /// Values of a step by their tags.
    static func scalars(
        _ values: [(tag: String, value: Double)], step: Int, time: Double
    ) -> [UInt8] {
        var summary = ProtobufMessage()
        for (tag, value) in values {
            var entry = ProtobufMessage()
            entry.append(1, bytes: Array(tag.utf8))
            entry.append(2, float: Float(value))
            summary.append(1, bytes: entry.bytes)
        }
        var event = ProtobufMessage()
        event.append(1, double: time)
        event.append(2, integer: step)
        event.append(5, bytes: summary.bytes)
        return framed(event.bytes)
    }

    /// An event in its frame.
    static func framed(_ event: [UInt8]) -> [UInt8] {
        let length = littleEndian(UInt64(event.count))
        return length + littleEndian(masked(length)) + event + littleEndian(masked(event))
    }

    /// TFRecord rotates and shifts its checksums, since checksums of data that hold checksums are weak.
    static func masked(_ bytes: [UInt8]) -> UInt32 {
        let sum = CRC32C.checksum(bytes)
        return (sum >> 15 | sum << 17) &+ 0xA282_EAD8
    }
}

/// A protocol buffer under construction.
private struct ProtobufMessage {
    private(set) var bytes: [UInt8] = []

    private mutating func append(varint value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    private mutating func append(_ field: UInt64, wireType: UInt64) {
        append(varint: field << 3 | wireType)
    }

    mutating func append(_ field: UInt64, integer value: Int) {
        append(field, wireType: 0)
        append(varint: UInt64(bitPattern: Int64(value)))
    }

    mutating func append(_ field: UInt64, double value: Double) {
        append(field, wireType: 1)
        bytes += littleEndian(value.bitPattern)
    }

    mutating func append(_ field: UInt64, float value: Float) {
        append(field, wireType: 5)
        bytes += littleEndian(value.bitPattern)
    }

    mutating func append(_ field: UInt64, bytes content: [UInt8]) {
        append(field, wireType: 2)
        append(varint: UInt64(content.count))
        bytes += content
    }
}

private func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    stride(from: 0, to: value.bitWidth, by: 8).map { UInt8(truncatingIfNeeded: value >> $0) }
}
