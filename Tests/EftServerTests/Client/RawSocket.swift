// SPDX-License-Identifier: Apache-2.0
// A client's socket that sends what it is told, as slowly and as badly as it is told.
import CTestTLS
import EftServer

#if canImport(Glibc)
    import Glibc
#endif

/// What a test's client met.
struct SocketError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// A connection to a server.
final class RawSocket {
    private(set) var descriptor: Int32
    private var tls: OpaquePointer?
    /// Bytes that were received and not asked for yet.
    var pending: [UInt8] = []

    /// Connects. `receiveBuffer` makes the system hold few bytes for the client.
    init(_ address: ServerAddress, certificate: String? = nil, receiveBuffer: Int32? = nil) throws {
        descriptor = socket(address.isUnix ? AF_UNIX : AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw SocketError("no socket: \(errno)") }
        if var size = receiveBuffer {
            setsockopt(
                descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        // Far beyond what any test waits for: a test that hangs should fail instead.
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
        guard address.connect(descriptor) == 0 else {
            let error = errno
            close()
            throw SocketError("cannot connect: \(error)")
        }
        if let certificate {
            tls = eft_tls_connect(descriptor, certificate)
            guard tls != nil else {
                close()
                throw SocketError("the handshake failed")
            }
        }
    }

    deinit { close() }

    /// Closes the connection; the system tells the server.
    func close() {
        if let tls { eft_tls_free(tls) }
        tls = nil
        if descriptor >= 0 { Glibc.close(descriptor) }
        descriptor = -1
    }

    /// Closes the connection by a reset.
    func reset() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(
            descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
        close()
    }

    /// Closes the sending half.
    func closeSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Sends all bytes.
    func send(_ bytes: [UInt8]) throws {
        var start = 0
        while start < bytes.count {
            let count = bytes.withUnsafeBytes { buffer -> Int in
                guard let base = buffer.baseAddress else { return 0 }
                if let tls { return eft_tls_send(tls, base + start, bytes.count - start) }
                return Glibc.send(
                    descriptor, base + start, bytes.count - start, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw SocketError("cannot send: \(errno)") }
            start += count
        }
    }

    /// Sends text, with CR LF for each line end.
    func send(_ text: String) throws {
        try send(
            Array(
                text.split(separator: "\n", omittingEmptySubsequences: false)
                    .joined(separator: "\r\n").utf8))
    }

    /// Some bytes; none at the end of the connection.
    func receive() throws -> [UInt8] {
        if !pending.isEmpty {
            defer { pending = [] }
            return pending
        }
        var bytes = [UInt8](repeating: 0, count: 65536)
        let count = bytes.withUnsafeMutableBytes { buffer -> Int in
            if let tls { return eft_tls_receive(tls, buffer.baseAddress, buffer.count) }
            return recv(descriptor, buffer.baseAddress, buffer.count, 0)
        }
        guard count >= 0 else { throw SocketError("cannot receive: \(errno)") }
        return Array(bytes.prefix(count))
    }

    /// All bytes until the server closes the connection, in whichever way.
    func receiveAll() -> [UInt8] {
        var all: [UInt8] = []
        while let more = try? receive(), !more.isEmpty { all += more }
        return all
    }

    /// Whether the server has closed the connection; waits for it, or for bytes.
    func isClosed() -> Bool { ((try? receive()) ?? []).isEmpty }
}

extension ServerAddress {
    fileprivate var isUnix: Bool { if case .unix = self { true } else { false } }

    fileprivate func connect(_ descriptor: Int32) -> Int32 {
        switch self {
        case .tcp(_, let port):
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            return withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        case .unix(let path):
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { target in
                target.copyBytes(from: path.utf8.prefix(target.count - 1))
            }
            return withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
        }
    }
}
