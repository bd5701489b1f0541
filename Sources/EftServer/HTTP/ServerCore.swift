// SPDX-License-Identifier: Apache-2.0
// What the threads of a server share: its connections, and how far it has come in stopping.
import CMicroHTTPD
import EftTensor
import Synchronization

/// The state of a running server.
final class ServerCore: Sendable {
    private enum Phase {
        case serving
        /// Requests under way are finished; new ones are turned away.
        case draining
        case aborting
    }

    private struct State {
        var phase = Phase.serving
        var connections: [UInt64: Connection] = [:]
        var exchanges = 0
        var heldBytes = 0
        var lastNumber: UInt64 = 0
        var isWatching = true
    }

    let application: Application
    let options: ServerOptions
    let pool: HandlerPool
    private let watch: Int32
    private let state = Mutex(State())

    init(_ application: Application, _ options: ServerOptions) throws {
        self.application = application
        self.options = options
        watch = eft_watch_open()
        guard watch >= 0 else {
            throw ServerError(.start, "the system refused to watch connections (error \(-watch))")
        }
        pool = try HandlerPool(threads: options.handlerThreads)
    }

    deinit { if watch >= 0 { eft_watch_close(watch) } }

    // MARK: Connections and exchanges

    /// Open connections.
    var connectionCount: Int { state.withLock { $0.connections.count } }

    /// Requests under way.
    var exchangeCount: Int { state.withLock { $0.exchanges } }

    /// Takes up a connection.
    func open(_ descriptor: Int32, peer: String) -> Connection {
        let connection = state.withLock { state in
            state.lastNumber += 1
            let connection = Connection(
                number: state.lastNumber, descriptor: descriptor, peer: peer,
                deadline: .now + options.headerTimeout)
            state.connections[connection.number] = connection
            return connection
        }
        _ = eft_watch_add(watch, descriptor, connection.number)
        return connection
    }

    /// Forgets a connection, whose descriptor is about to be closed.
    func close(_ connection: Connection) {
        connection.close()
        state.withLock { $0.connections[connection.number] = nil }
    }

    /// Takes up a request; nil when the server will not finish it.
    func begin(_ handle: ExchangeHandle, target: String, on connection: Connection) -> Exchange? {
        let exchange = Exchange(handle, target: target, connection: connection, core: self)
        let isTaken = state.withLock { state in
            guard state.phase != .aborting else { return false }
            state.exchanges += 1
            connection.begin(exchange)
            return true
        }
        guard isTaken else { return nil }
        connection.expect(within: options.headerTimeout)
        return exchange
    }

    /// A request has ended.
    func exchangeEnded() { state.withLock { $0.exchanges -= 1 } }

    // MARK: Bodies

    /// Makes room for bytes of a body; false when there is none.
    func reserve(_ count: Int) -> Bool {
        state.withLock { state in
            guard state.heldBytes + count <= application.options.allBodiesLimit else {
                return false
            }
            state.heldBytes += count
            return true
        }
    }

    /// Gives room back.
    func release(_ count: Int) { state.withLock { $0.heldBytes -= count } }

    /// Bytes of bodies that are held.
    var heldBytes: Int { state.withLock { $0.heldBytes } }

    // MARK: Watching

    /// Tells exchanges of clients that leave, and ends connections whose time is over, until told to stop.
    func runWatch() {
        var tags = [UInt64](repeating: 0, count: 64)
        while state.withLock({ $0.isWatching }) {
            let count = eft_watch_wait(watch, &tags, tags.count, 100)
            for tag in tags.prefix(count) { state.withLock { $0.connections[tag] }?.peerLeft() }
            let now = ContinuousClock.now
            for connection in connections { connection.enforceDeadline(now) }
        }
    }

    /// Ends the watching.
    func stopWatch() { state.withLock { $0.isWatching = false } }

    private var connections: [Connection] { state.withLock { Array($0.connections.values) } }

    // MARK: Stopping

    /// Whether new requests are turned away.
    var isDraining: Bool { state.withLock { $0.phase != .serving } }

    /// Whether nothing is finished any more, and nothing may be suspended.
    var isAborting: Bool { state.withLock { $0.phase == .aborting } }

    /// Turns new requests away and ends idle connections.
    func drain() {
        state.withLock { if $0.phase == .serving { $0.phase = .draining } }
        for connection in connections where connection.isIdle { connection.shutDown() }
    }

    /// Breaks off all requests. From now on none is suspended.
    func abort() {
        state.withLock { $0.phase = .aborting }
        for connection in connections {
            connection.abort()
            connection.shutDown()
        }
    }
}
