// SPDX-License-Identifier: Apache-2.0
// An application on a socket.
import CMicroHTTPD
import EftTensor
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// A server that runs from when it is made until it is stopped or goes away.
///
/// One thread reads and writes all connections, one notices clients that leave and times that are over, and a few run
/// handlers.
package final class HTTPServer: Sendable {
    /// Where it listens, with the port that was taken.
    package let address: ServerAddress

    private let core: ServerCore
    private let watcher: WorkerThread
    private let listener: Int32
    private let daemon: Mutex<DaemonHandle?>

    /// The C library's name for a server, used by one thread at a time.
    private struct DaemonHandle: @unchecked Sendable {
        let pointer: OpaquePointer
    }

    /// Listens and serves.
    /// - Throws: `ServerError` when the address cannot be had or the certificate is not fit.
    package init(_ application: Application, _ options: ServerOptions = ServerOptions()) throws {
        // Each connection is a file to the system; a few more are open for other reasons.
        OpenFileLimit.raise(to: options.connectionLimit + 256)
        let core = try ServerCore(application, options)
        let watcher: WorkerThread
        do {
            watcher = try WorkerThread { core.runWatch() }
        } catch {
            core.pool.close()
            throw error
        }
        do throws(ServerError) {
            let (listener, address) = try HTTPServer.listen(options.address)
            let pointer = try HTTPServer.start(core, listener: listener)
            (self.listener, self.address) = (listener, address)
            daemon = Mutex(DaemonHandle(pointer: pointer))
        } catch {
            core.stopWatch()
            watcher.join()
            core.pool.close()
            throw error
        }
        self.watcher = watcher
        self.core = core
    }

    deinit { stop(within: .zero) }

    /// Open connections.
    package var connectionCount: Int { core.connectionCount }

    /// Requests under way.
    package var requestCount: Int { core.exchangeCount }

    /// Bytes of requests' bodies that are held.
    package var heldBodyBytes: Int { core.heldBytes }

    /// Refuses new connections and requests, lets those under way finish for some time, breaks off the rest, and returns when
    /// all threads have ended. Later calls do nothing. Not to be called by a handler, which it waits for.
    package func stop(within time: Duration) {
        let handle = daemon.withLock { handle in
            defer { handle = nil }
            return handle
        }
        guard let handle else { return }
        core.drain()
        eft_http_refuse(handle.pointer)
        let end = ContinuousClock.now + time
        while core.exchangeCount > 0, ContinuousClock.now < end { usleep(2000) }
        core.abort()
        eft_http_stop(handle.pointer)
        core.stopWatch()
        watcher.join()
        core.pool.close()
        Glibc.close(listener)
        if case .unix(let path) = address { unlink(path) }
    }

    private static func listen(
        _ address: ServerAddress
    ) throws(ServerError) -> (Int32, ServerAddress) {
        let listener: Int32
        var taken = address
        switch address {
        case .tcp(let host, var port):
            listener = eft_http_listen(host == "localhost" ? "127.0.0.1" : host, &port)
            taken = .tcp(host: host, port: port)
        case .unix(let path): listener = eft_http_listen_unix(path)
        }
        guard listener >= 0 else {
            let reason =
                -listener == EINVAL
                ? "give a numeric address such as 127.0.0.1 or ::1"
                : String(cString: strerror(-listener))
            throw ServerError(.address, "cannot listen at \(address): \(reason)")
        }
        return (listener, taken)
    }

    private static func start(
        _ core: ServerCore, listener: Int32
    ) throws(ServerError) -> OpaquePointer {
        var callbacks = ServerCallbacks.make(core)
        var options = eft_http_options()
        options.listener = listener
        options.connection_limit = UInt32(clamping: core.options.connectionLimit)
        // Beside the header the library keeps there what it made of it, and its answer.
        options.connection_memory = core.application.options.headerLimit + (64 << 10)
        let secrets = core.options.secrets
        let pointer: OpaquePointer?
        if let secrets {
            pointer = secrets.certificate.withCString { certificate in
                secrets.key.withCString { key in
                    options.certificate = certificate
                    options.key = key
                    return eft_http_start(&options, &callbacks)
                }
            }
        } else {
            pointer = eft_http_start(&options, &callbacks)
        }
        if let pointer { return pointer }
        Glibc.close(listener)
        throw secrets == nil
            ? ServerError(.start, "the system refused the server a thread or memory")
            : ServerError(.certificate, "the certificate and its key are not a pair of PEM texts")
    }
}
