// SPDX-License-Identifier: Apache-2.0
// Single requests, waited for.
import EftConfig
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

extension ServerTarget {
    /// Sends a request and waits for the whole answer.
    /// - Throws: `HTTPClientError` when there is none in time, or one above 4 MiB.
    package func fetch(
        _ method: String, _ path: String, body: [UInt8] = [], within time: Duration = .seconds(30)
    ) throws(HTTPClientError) -> (status: Int, body: [UInt8]) {
        let end = ContinuousClock.now + time
        let connection = try HTTPConnection(
            resolve(), request: request(method, path, body: body))
        var parser = HTTPResponseParser()
        var whole: [UInt8] = []
        while !parser.isWhole {
            guard .now < end else {
                throw HTTPClientError(.connection, "no answer within \(time.seconds) s")
            }
            var wait = pollfd(fd: connection.descriptor, events: connection.events, revents: 0)
            guard poll(&wait, 1, 100) > 0 else { continue }
            // An error of connecting shows itself when something is sent.
            if connection.isSending { try connection.send() }
            guard let bytes = try connection.receive() else { continue }
            guard !bytes.isEmpty else {
                try parser.close()
                break
            }
            whole += try parser.feed(bytes)
            guard whole.count <= 4 << 20 else {
                throw HTTPClientError(.garbled, "the answer to \(path) is too long")
            }
        }
        return (parser.status ?? 0, whole)
    }

    /// Fetches JSON.
    /// - Throws: `HTTPClientError` when the answer's status is not 200, or it is not JSON.
    package func fetchJSON(_ path: String) throws(HTTPClientError) -> ConfigNode {
        let (status, body) = try fetch("GET", path)
        guard status == 200 else {
            throw HTTPClientError(.refused, "\(path) was answered with status \(status)")
        }
        do {
            return try JSONParser.parse(body)
        } catch {
            throw HTTPClientError(.garbled, "\(path): \(error)")
        }
    }
}
