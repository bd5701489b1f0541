// SPDX-License-Identifier: Apache-2.0
// A request on its way, on a socket that never waits.

#if canImport(Glibc)
    import Glibc
#endif

/// One connection for one request: connects, sends, receives, all without waiting.
package final class HTTPConnection {
    /// The socket, for `poll`.
    package let descriptor: Int32
    private let request: [UInt8]
    private var sent = 0
    private var isConnected = false

    /// Begins to connect.
    /// - Throws: `HTTPClientError` when the system has no socket left, or refuses at once.
    package init(_ address: SocketAddress, request: [UInt8]) throws(HTTPClientError) {
        self.request = request
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        descriptor = socket(address.family, kind | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else {
            let error = errno
            let isExhausted = [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error)
            throw HTTPConnection.failure(error, isExhausted ? .exhausted : .connection)
        }
        var on: Int32 = 1
        setsockopt(
            descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        let status = address.bytes.withUnsafeBytes { buffer in
            buffer.withMemoryRebound(to: sockaddr.self) {
                connect(descriptor, $0.baseAddress, socklen_t(buffer.count))
            }
        }
        if status == 0 {
            isConnected = true
        } else if errno != EINPROGRESS {
            let error = errno
            throw HTTPConnection.failure(error, error == EADDRNOTAVAIL ? .exhausted : .connection)
        }
    }

    deinit { if descriptor >= 0 { Glibc.close(descriptor) } }

    /// What to wait for: `POLLOUT` while something is to be sent, `POLLIN` always.
    package var events: Int16 {
        Int16(isSending ? POLLIN | POLLOUT : POLLIN)
    }

    /// Whether something is left to be sent.
    package var isSending: Bool { sent < request.count }

    /// Sends what can be sent.
    /// - Throws: `HTTPClientError` (`connection`) when the server is not there or has gone.
    package func send() throws(HTTPClientError) {
        if !isConnected {
            var error: Int32 = 0
            var size = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size)
            guard error == 0 else { throw HTTPConnection.failure(error, .connection) }
            isConnected = true
        }
        while sent < request.count {
            let count = request.withUnsafeBytes { buffer in
                Glibc.send(
                    descriptor, buffer.baseAddress.map { $0 + sent }, buffer.count - sent,
                    Int32(MSG_NOSIGNAL))
            }
            guard count >= 0 else {
                if errno == EINTR { continue }
                if errno == EAGAIN { return }
                guard errno == EPIPE || errno == ECONNRESET else {
                    throw HTTPConnection.failure(errno, .connection)
                }
                // A server may refuse a request before it has read it; its answer says why.
                sent = request.count
                return
            }
            sent += count
        }
    }

    /// Bytes that have come; nil when there are none yet, empty at the end of the connection.
    /// - Throws: `HTTPClientError` (`connection`) when it breaks off.
    package func receive() throws(HTTPClientError) -> [UInt8]? {
        while true {
            var bytes = [UInt8](repeating: 0, count: 64 << 10)
            let count = bytes.withUnsafeMutableBytes {
                recv(descriptor, $0.baseAddress, $0.count, 0)
            }
            if count >= 0 { return Array(bytes.prefix(count)) }
            if errno == EINTR { continue }
            if errno == EAGAIN { return nil }
            throw HTTPConnection.failure(errno, .connection)
        }
    }

    private static func failure(_ error: Int32, _ code: HTTPClientError.Code) -> HTTPClientError {
        HTTPClientError(code, "the connection failed: \(String(cString: strerror(error)))")
    }
}
