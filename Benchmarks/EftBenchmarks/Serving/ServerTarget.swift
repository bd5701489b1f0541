// SPDX-License-Identifier: Apache-2.0
// Where a server is, and how requests to it begin.

#if canImport(Glibc)
    import Glibc
#endif

/// A server's address, as a client names it.
package struct ServerTarget: Sendable, Hashable {
    /// A name or a numeric address.
    package let host: String
    /// The port.
    package let port: UInt16
    /// What stands before all paths; empty, or beginning with a slash and ending with none.
    package let prefix: String
    /// The key that requests show; nil for none.
    package var key: String?

    /// Names a server.
    package init(host: String, port: UInt16) {
        self.host = host
        self.port = port
        prefix = ""
    }

    /// Reads an address such as `http://127.0.0.1:8000`.
    /// - Throws: `HTTPClientError` (`address`) for what is none, and for https, which this client does not speak.
    package init(url: String) throws(HTTPClientError) {
        guard url.hasPrefix("http://") else {
            throw HTTPClientError(
                .address,
                "'\(url.prefix(80))' does not begin with http://, and nothing else is spoken")
        }
        let rest = url.dropFirst(7)
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let path = rest.dropFirst(authority.count)
        var name = authority
        var port: UInt16? = 80
        if let colon = authority.lastIndex(of: ":"), !authority[colon...].contains("]") {
            name = authority[..<colon]
            port = UInt16(authority[authority.index(after: colon)...])
        }
        if name.hasPrefix("["), name.hasSuffix("]") { name = name.dropFirst().dropLast() }
        guard let port, !name.isEmpty, ServerTarget.isPlain(name), ServerTarget.isPlain(path) else {
            throw HTTPClientError(
                .address, "'\(url.prefix(80))' is no address such as http://127.0.0.1:8000")
        }
        host = String(name)
        self.port = port
        prefix = String(path.reversed().drop { $0 == "/" }.reversed())
    }

    /// Whether a text can stand in a request's head.
    package static func isPlain(_ text: some StringProtocol) -> Bool {
        text.utf8.allSatisfy { $0 > 32 && $0 < 127 }
    }

    /// The bytes of a request whose connection is closed behind its answer.
    package func request(_ method: String, _ path: String, body: [UInt8] = []) -> [UInt8] {
        let name = host.contains(":") ? "[\(host)]" : host
        var head = "\(method) \(prefix)\(path) HTTP/1.1\r\nHost: \(name):\(port)\r\n"
        head += "User-Agent: eft-bench\r\nAccept: */*\r\nConnection: close\r\n"
        if let key { head += "Authorization: Bearer \(key)\r\n" }
        if method != "GET" {
            head += "Content-Type: application/json\r\nContent-Length: \(body.count)\r\n"
        }
        return Array((head + "\r\n").utf8) + body
    }

    /// Looks the address up.
    /// - Throws: `HTTPClientError` (`address`) when nobody knows it.
    package func resolve() throws(HTTPClientError) -> SocketAddress {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, String(port), &hints, &list)
        defer { if let list { freeaddrinfo(list) } }
        guard status == 0, let first = list?.pointee, let address = first.ai_addr else {
            throw HTTPClientError(
                .address,
                "the host '\(host)' is not known: \(String(cString: gai_strerror(status)))")
        }
        let bytes = UnsafeRawBufferPointer(start: address, count: Int(first.ai_addrlen))
        return SocketAddress(family: first.ai_family, bytes: Array(bytes))
    }
}

/// An address as the system takes it.
package struct SocketAddress: Sendable, Hashable {
    let family: Int32
    let bytes: [UInt8]
}
