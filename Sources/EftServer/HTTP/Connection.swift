// SPDX-License-Identifier: Apache-2.0
// A client's connection: its descriptor, its time limit, and the request that it carries now.
import CMicroHTTPD
import Synchronization

/// A connection, from being accepted until its descriptor is closed.
final class Connection: Sendable {
    private struct State {
        /// Gone once the descriptor is closed: the system may give its number to another connection.
        var descriptor: Int32?
        var deadline: ContinuousClock.Instant?
        var exchange: Exchange?
        var peerHasLeft = false
        /// Whether it is the client's turn.
        var isReceiving = true
    }

    let number: UInt64
    let peer: String
    private let state: Mutex<State>

    init(number: UInt64, descriptor: Int32, peer: String, deadline: ContinuousClock.Instant) {
        self.number = number
        self.peer = peer
        state = Mutex(State(descriptor: descriptor, deadline: deadline))
    }

    /// Limits the time of what the server does next; nil for no limit.
    func setDeadline(in duration: Duration?) {
        let deadline = duration.map { ContinuousClock.now + $0 }
        state.withLock { state in
            state.isReceiving = false
            state.deadline = deadline
        }
    }

    /// Limits the time of what the client sends next.
    func expect(within duration: Duration) {
        state.withLock { state in
            state.isReceiving = true
            state.deadline = .now + (state.peerHasLeft ? Connection.lingering : duration)
        }
    }

    /// How long to wait for bytes of a client that has closed its half. All of them are there; only the sockets' thread has to
    /// come by, which the library does not always do for the end behind them.
    private static let lingering = Duration.seconds(1)

    /// A request begins.
    func begin(_ exchange: Exchange) { state.withLock { $0.exchange = exchange } }

    /// The request has ended.
    func end(_ exchange: Exchange) {
        state.withLock { if $0.exchange === exchange { $0.exchange = nil } }
    }

    /// Whether no request is under way.
    var isIdle: Bool { state.withLock { $0.exchange == nil } }

    /// Whether the other side has closed its half.
    var peerHasLeft: Bool { state.withLock { $0.peerHasLeft } }

    /// The other side has closed its half.
    func peerLeft() {
        let exchange = state.withLock { state in
            state.peerHasLeft = true
            if state.isReceiving { state.deadline = .now + Connection.lingering }
            return state.exchange
        }
        exchange?.peerLeft()
    }

    /// Breaks off the request that is under way.
    func abort() { state.withLock { $0.exchange }?.abort() }

    /// Ends the connection when its time is over.
    func enforceDeadline(_ now: ContinuousClock.Instant) {
        let isOver = state.withLock { state in
            guard let deadline = state.deadline, deadline <= now else { return false }
            // Until it is closed: the sockets' thread now and then takes no notice.
            state.deadline = now + Connection.lingering
            return true
        }
        if isOver { shutDown() }
    }

    /// Ends both directions; the sockets' thread finds it dead and closes it.
    func shutDown() {
        state.withLock { state in
            if let descriptor = state.descriptor { eft_http_shutdown(descriptor) }
        }
    }

    /// The descriptor is about to be closed.
    func close() {
        state.withLock { state in
            state.descriptor = nil
            state.deadline = nil
        }
    }
}
