// SPDX-License-Identifier: Apache-2.0
// Reading a response off a socket.
import EftConfig
import EftServer

/// A response as a client sees it.
struct TestResponse {
    var status: Int
    var fields: HeaderFields
    var body: [UInt8]
    /// Whether the body came to its end.
    var isWhole = true

    var text: String { String(decoding: body, as: UTF8.self) }
    var json: ConfigNode? { try? JSONParser.parse(body) }

    /// A value in the body, by keys.
    func value(_ keys: String...) -> ConfigNode? {
        keys.reduce(json) { node, key in
            if case .object(let object)? = node?.value { object[key] } else { nil }
        }
    }
}

extension RawSocket {
    /// Reads a line, without its end.
    func readLine() throws -> String {
        var line: [UInt8] = []
        while line.last != UInt8(ascii: "\n") {
            if pending.isEmpty { pending = try receive() }
            guard !pending.isEmpty else {
                throw SocketError("closed within '\(String(decoding: line, as: UTF8.self))'")
            }
            let end = pending.firstIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? pending.count
            line += pending.prefix(end)
            pending.removeFirst(end)
        }
        return String(decoding: line.dropLast(line.dropLast().last == 13 ? 2 : 1), as: UTF8.self)
    }

    /// Reads a response's status and fields.
    func readHead() throws -> TestResponse {
        let words = try readLine().split(separator: " ")
        guard words.count > 1, let status = Int(words[1]) else {
            throw SocketError("no status in \(words)")
        }
        var fields = HeaderFields()
        while true {
            let line = try readLine()
            guard !line.isEmpty else { break }
            let sides = line.split(separator: ":", maxSplits: 1)
            fields.add(String(sides[0]), sides.count > 1 ? String(sides[1].drop { $0 == " " }) : "")
        }
        return TestResponse(status: status, fields: fields, body: [])
    }

    /// Reads the next chunk of a body; nil at its end.
    func readChunk() throws -> [UInt8]? {
        guard let count = Int(try readLine(), radix: 16) else { throw SocketError("no chunk") }
        let bytes = try readExactly(count)
        _ = try readLine()
        return count > 0 ? bytes : nil
    }

    /// Reads a whole response.
    func readResponse(to method: String = "GET") throws -> TestResponse {
        var response = try readHead()
        while response.status == 100 { response = try readHead() }
        if method == "HEAD" || response.status == 204 { return response }
        if let count = response.fields["Content-Length"].flatMap({ Int($0) }) {
            response.body = try readExactly(count)
        } else if response.fields["Transfer-Encoding"] == "chunked" {
            do {
                while let chunk = try readChunk() { response.body += chunk }
            } catch {
                response.isWhole = false
            }
        } else {
            response.body = receiveAll()
        }
        return response
    }

    private func readExactly(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            if pending.isEmpty { pending = try receive() }
            guard !pending.isEmpty else { throw SocketError("closed within a body") }
            let taken = min(count - bytes.count, pending.count)
            bytes += pending.prefix(taken)
            pending.removeFirst(taken)
        }
        return bytes
    }
}
