// SPDX-License-Identifier: Apache-2.0
// Streams of events, read as they come.

/// Reads the data of server-sent events from pieces of any size (WHATWG HTML, section 9.2).
package struct EventStreamParser {
    private var line: [UInt8] = []
    private var data: [UInt8]?
    private var endedWithReturn = false
    /// Most bytes of an event.
    private static let limit = 16 << 20

    /// Starts before the first byte.
    package init() {}

    /// Reads a piece.
    /// - Returns: the data of each event that it completes.
    /// - Throws: `HTTPClientError` (`garbled`) when an event has no end.
    package mutating func feed(_ bytes: [UInt8]) throws(HTTPClientError) -> [[UInt8]] {
        var events: [[UInt8]] = []
        for byte in bytes {
            let isReturn = byte == UInt8(ascii: "\r")
            let isLineFeed = byte == UInt8(ascii: "\n")
            defer { endedWithReturn = isReturn }
            if isLineFeed && endedWithReturn { continue }
            if isReturn || isLineFeed {
                if let event = endLine() { events.append(event) }
                continue
            }
            line.append(byte)
            guard line.count + (data?.count ?? 0) <= Self.limit else {
                throw HTTPClientError(.garbled, "an event of the stream has no end")
            }
        }
        return events
    }

    /// Uses a line; an empty one ends an event.
    private mutating func endLine() -> [UInt8]? {
        defer { line.removeAll(keepingCapacity: true) }
        guard !line.isEmpty else {
            defer { data = nil }
            return data
        }
        let name = line.prefix { $0 != UInt8(ascii: ":") }
        guard name.elementsEqual("data".utf8) else { return nil }
        var value = line.dropFirst(name.count + 1)
        if value.first == UInt8(ascii: " ") { value = value.dropFirst() }
        data = data.map { $0 + [UInt8(ascii: "\n")] + value } ?? Array(value)
        return nil
    }
}
