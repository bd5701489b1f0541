// SPDX-License-Identifier: Apache-2.0
// Reads event files back, by the definition of TFRecord and protocol buffers alone.
import EftFormats

/// The events of a file.
struct EventFile {
    /// What an event holds.
    struct Event: Equatable {
        var step = 0
        var version: String?
        var scalars: [String: Float] = [:]
        /// 1 for the start of a session.
        var session: UInt64?
    }

    let events: [Event]

    init(_ path: String) throws {
        var rest = try FileSystem.read(path)[...]
        var events: [Event] = []
        while !rest.isEmpty { events.append(try EventFile.next(&rest)) }
        self.events = events
    }

    /// A file that is not what it should be.
    struct Fault: Error { let what: String }

    private static func take(_ count: Int, _ rest: inout ArraySlice<UInt8>) throws -> [UInt8] {
        guard count >= 0, rest.count >= count else { throw Fault(what: "cut off") }
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
    }

    private static func number(_ bytes: [UInt8]) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    private static func check(_ bytes: [UInt8], _ rest: inout ArraySlice<UInt8>) throws {
        let stored = UInt32(number(try take(4, &rest))) &- 0xA282_EAD8
        guard stored << 15 | stored >> 17 == CRC32C.checksum(bytes) else {
            throw Fault(what: "checksum")
        }
    }

    private static func next(_ rest: inout ArraySlice<UInt8>) throws -> Event {
        let length = try take(8, &rest)
        try check(length, &rest)
        let bytes = try take(Int(number(length)), &rest)
        try check(bytes, &rest)
        var event = Event()
        for (field, value) in try fields(bytes) {
            switch field {
            case 1: guard number(value) != 0 else { throw Fault(what: "no time") }
            case 2: event.step = Int(number(value))
            case 3: event.version = String(decoding: value, as: UTF8.self)
            case 5:
                for (_, entry) in try fields(value) {
                    let parts = try fields(entry)
                    guard let tag = parts.first(where: { $0.0 == 1 })?.1,
                        let value = parts.first(where: { $0.0 == 2 })?.1
                    else { throw Fault(what: "a value without a tag or a number") }
                    event.scalars[String(decoding: tag, as: UTF8.self)] = Float(
                        bitPattern: UInt32(number(value)))
                }
            case 7: event.session = try fields(value).first.map { number($0.1) }
            default: throw Fault(what: "field \(field)")
            }
        }
        return event
    }

    private static func varint(_ rest: inout ArraySlice<UInt8>) throws -> UInt64 {
        var (value, shift) = (UInt64(0), UInt64(0))
        while true {
            let byte = try take(1, &rest)[0]
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
    }

    private static func fields(_ bytes: [UInt8]) throws -> [(UInt64, [UInt8])] {
        var rest = bytes[...]
        var fields: [(UInt64, [UInt8])] = []
        while !rest.isEmpty {
            let key = try varint(&rest)
            switch key & 7 {
            case 0:
                let value = try varint(&rest)
                fields.append(
                    (key >> 3, (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }))
            case 1: fields.append((key >> 3, try take(8, &rest)))
            case 2: fields.append((key >> 3, try take(Int(varint(&rest)), &rest)))
            case 5: fields.append((key >> 3, try take(4, &rest)))
            default: throw Fault(what: "wire type \(key & 7)")
            }
        }
        return fields
    }
}
