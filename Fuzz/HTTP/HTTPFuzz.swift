// SPDX-License-Identifier: Apache-2.0
// Requests as the server takes them from its HTTP library: target, fields, framing, bodies.
import EftConfig
import EftFuzzDriver
import EftServer

/// Reads a body and answers with it.
private struct EchoRoute: Route {
    let methods = ["GET", "POST"]
    let path: String
    let body: RouteBody

    func handle(_ request: Request, _ responder: Responder) throws {
        responder.respond(.json(try request.json()))
    }
}

@main
enum HTTPFuzz {
    private static let application = Application(routes: [
        EchoRoute(path: "/v1/chat/completions", body: .json),
        EchoRoute(path: "/files/{name*}", body: .anyType),
        EchoRoute(path: "/models/{id}", body: .ignored),
    ])

    static func main() {
        FuzzDriver.run([
            "http": { bytes in
                guard let request = split(bytes) else { return }
                let call = application.admit(request.head)
                application.run(call, body: request.body)
                withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 1 << 16) {
                    _ = call.channel.take(into: $0)
                }
                call.channel.close()
            }
        ])
    }

    /// The parts of a request: a line with method and target, lines of fields, an empty line, the body.
    private static func split(_ bytes: [UInt8]) -> (head: RequestHead, body: [UInt8])? {
        var lines: [String] = []
        var rest = bytes[...]
        while let end = rest.firstIndex(of: 0x0A), lines.count < 64 {
            let line = String(decoding: rest[..<end].filter { $0 != 0x0D }, as: UTF8.self)
            rest = rest[(end + 1)...]
            if line.isEmpty { break }
            lines.append(line)
        }
        guard let first = lines.first else { return nil }
        let words = first.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
        guard words.count == 2 else { return nil }
        var fields = HeaderFields()
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { continue }
            fields.add(String(parts[0]), String(parts[1].drop { $0 == " " }))
        }
        let head = RequestHead(
            method: String(words[0]), target: String(words[1]), fields: fields, peer: "fuzz")
        return (head, Array(rest))
    }
}
