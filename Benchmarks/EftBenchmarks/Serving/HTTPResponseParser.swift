// SPDX-License-Identifier: Apache-2.0
// Responses of HTTP/1.1, read as they come.

/// Reads a response from pieces of any size (RFC 9112).
package struct HTTPResponseParser {
    /// The status; nil until the head is whole.
    package private(set) var status: Int?
    /// Whether the whole response has come.
    package var isWhole: Bool { state == .done }
    /// Whether only the end of the connection ends the body.
    package private(set) var endsWithConnection = false

    private enum State: Equatable {
        case statusLine
        case field
        case sized(left: Int)
        case chunkSize
        case chunk(left: Int)
        case chunkEnd
        case trailer
        case untilClose
        case done
    }

    private var state = State.statusLine
    private var line: [UInt8] = []
    private var headBytes = 0
    private var pendingStatus = 0
    private var length: Int?
    private var isChunked = false

    /// Most bytes of a line, and of all lines that are no body.
    private static let lineLimit = 16 << 10
    private static let headLimit = 128 << 10

    /// Starts before the first byte.
    package init() {}

    /// Reads a piece.
    /// - Returns: what it holds of the body, without chunks' sizes; what follows the response is passed over.
    /// - Throws: `HTTPClientError` (`garbled`) for what is no response.
    package mutating func feed(_ bytes: [UInt8]) throws(HTTPClientError) -> [UInt8] {
        var body: [UInt8] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            switch state {
            case .done: return body
            case .untilClose:
                body += rest
                rest = []
            case .sized(let left):
                let count = min(left, rest.count)
                body += rest.prefix(count)
                rest = rest.dropFirst(count)
                state = left > count ? .sized(left: left - count) : .done
            case .chunk(let left):
                let count = min(left, rest.count)
                body += rest.prefix(count)
                rest = rest.dropFirst(count)
                state = left > count ? .chunk(left: left - count) : .chunkEnd
            case .statusLine, .field, .chunkSize, .chunkEnd, .trailer:
                if let line = try takeLine(&rest) { try read(line) }
            }
        }
        return body
    }

    /// Notes the end of the connection.
    /// - Throws: `HTTPClientError` (`connection`) when the response is not whole.
    package mutating func close() throws(HTTPClientError) {
        if state == .untilClose { state = .done }
        guard state == .done else {
            throw HTTPClientError(
                .connection,
                status == nil
                    ? "the server closed the connection without an answer"
                    : "the server closed the connection amid its answer")
        }
    }

    // MARK: Lines

    private mutating func takeLine(
        _ rest: inout ArraySlice<UInt8>
    ) throws(HTTPClientError) -> String? {
        let end = rest.firstIndex(of: UInt8(ascii: "\n"))
        line += rest[rest.startIndex..<(end ?? rest.endIndex)]
        rest = rest[(end.map { $0 + 1 } ?? rest.endIndex)...]
        guard line.count <= Self.lineLimit else { throw garbled("a line of it has no end") }
        guard end != nil else { return nil }
        defer { line = [] }
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        return String(decoding: line, as: UTF8.self)
    }

    private mutating func read(_ line: String) throws(HTTPClientError) {
        switch state {
        case .statusLine: try readStatus(line)
        case .field:
            if line.isEmpty { return endHead() }
            try bound(line)
            try readField(line)
        case .chunkSize: try readSize(line)
        case .chunkEnd:
            guard line.isEmpty else { throw garbled("a chunk is longer than its size") }
            state = .chunkSize
        case .trailer:
            try bound(line)
            if line.isEmpty { state = .done }
        case .sized, .chunk, .untilClose, .done: break
        }
    }

    private mutating func bound(_ line: String) throws(HTTPClientError) {
        headBytes += line.utf8.count + 2
        guard headBytes <= Self.headLimit else { throw garbled("its head has no end") }
    }

    private mutating func readStatus(_ line: String) throws(HTTPClientError) {
        let words = line.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), words[1].utf8.count == 3,
            let status = Int(words[1]), (100...599).contains(status)
        else { throw garbled("it begins with no status") }
        pendingStatus = status
        (length, isChunked) = (nil, false)
        state = .field
    }

    private mutating func readField(_ line: String) throws(HTTPClientError) {
        guard let colon = line.firstIndex(of: ":") else { throw garbled("a field has no name") }
        let name = line[..<colon].lowercased()
        let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
            .lowercased()
        let text = String(value.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
        if name == "content-length" {
            guard text.utf8.allSatisfy({ (48...57).contains($0) }), let count = Int(text),
                length ?? count == count
            else { throw garbled("its length is no number") }
            length = count
        } else if name == "transfer-encoding" {
            guard text == "chunked" else { throw garbled("it is encoded in an unknown way") }
            isChunked = true
        }
    }

    private mutating func endHead() {
        // Answers of 1xx are followed by the real one.
        if pendingStatus < 200 {
            state = .statusLine
            return
        }
        status = pendingStatus
        if pendingStatus == 204 || pendingStatus == 304 {
            state = .done
        } else if isChunked {
            state = .chunkSize
        } else if let length {
            state = length == 0 ? .done : .sized(left: length)
        } else {
            endsWithConnection = true
            state = .untilClose
        }
    }

    private mutating func readSize(_ line: String) throws(HTTPClientError) {
        let digits = line.prefix { $0 != ";" && $0 != " " && $0 != "\t" }
        let isHex = digits.utf8.allSatisfy { UInt8(ascii: "+") != $0 && UInt8(ascii: "-") != $0 }
        guard isHex, let size = Int(digits, radix: 16) else {
            throw garbled("a chunk has no size")
        }
        state = size == 0 ? .trailer : .chunk(left: size)
    }

    private func garbled(_ reason: String) -> HTTPClientError {
        HTTPClientError(.garbled, "the answer is not HTTP: \(reason)")
    }
}
