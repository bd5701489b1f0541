// SPDX-License-Identifier: Apache-2.0
// The one response to a request, between the threads that make it and the one that carries it away.
import Synchronization

/// A response on its way. Handlers see it as `Responder` and `ResponseStream`; a socket, or a test, takes it off.
package final class ResponseChannel: Sendable {
    /// What the carrier finds.
    package enum Step: Sendable {
        /// Nothing yet.
        case pending
        case whole(Response)
        /// The head of a stream, whose bytes `take` gives.
        case stream(status: Int, fields: HeaderFields)
        /// There will be no response; the connection is to be closed.
        case broken
    }

    /// What `take` finds.
    package enum Piece: Sendable, Hashable {
        case bytes(Int)
        case none
        case end
        case broken
    }

    private enum Phase {
        case pending
        case whole(Response)
        case streaming(status: Int, fields: HeaderFields)
        case finished(status: Int, fields: HeaderFields)
        case broken
    }

    private struct State {
        var phase = Phase.pending
        var queue = ByteQueue()
        var hasLeft = false
        var cancellations: [@Sendable () -> Void] = []
        var wake: @Sendable () -> Void = {}
        var added = HeaderFields()
    }

    private let state = Mutex(State())
    private let bufferLimit: Int
    /// What the request's text takes.
    package let tally = RequestTally()

    /// Makes a channel.
    /// - Parameter bufferLimit: the most bytes of a stream that wait for the client.
    package init(bufferLimit: Int) { self.bufferLimit = bufferLimit }

    // MARK: The handler's side

    /// Gives the whole response; false when there is one already, or nobody to read it.
    func respond(_ response: Response) -> Bool {
        change { state in
            guard case .pending = state.phase else { return false }
            state.phase = .whole(response)
            state.cancellations = []
            return true
        }
    }

    /// Begins a stream; false when there is a response already, or nobody to read it.
    func begin(status: Int, fields: HeaderFields) -> Bool {
        change { state in
            guard case .pending = state.phase, !state.hasLeft else { return false }
            state.phase = .streaming(status: status, fields: fields)
            return true
        }
    }

    /// Adds to the stream; false when it is over. More than fits breaks it off.
    func write(_ bytes: some Collection<UInt8>) -> Bool {
        var cancelled: [@Sendable () -> Void] = []
        let isWritten = change { state in
            guard case .streaming = state.phase else { return false }
            guard state.queue.count + bytes.count <= bufferLimit else {
                cancelled = ResponseChannel.abandon(&state)
                return false
            }
            state.queue.append(bytes)
            return true
        }
        for action in cancelled { action() }
        return isWritten
    }

    /// Ends the stream.
    func finish() {
        _ = change { state in
            guard case .streaming(let status, let fields) = state.phase else { return false }
            state.phase = .finished(status: status, fields: fields)
            state.cancellations = []
            return true
        }
    }

    /// Breaks the stream off, so that the client sees that it is not whole.
    func breakOff() {
        _ = change { state in
            guard case .streaming = state.phase else { return false }
            state.cancellations = []
            _ = ResponseChannel.abandon(&state)
            return true
        }
    }

    /// Registers what is called when the client leaves before the response is given.
    func onCancel(_ action: @escaping @Sendable () -> Void) {
        let isLate = change { state in
            switch state.phase {
            case .pending where state.hasLeft:
                // Who wants to know has no use for answering; the connection ends.
                _ = ResponseChannel.abandon(&state)
                return true
            case .broken: return state.hasLeft
            case .pending, .streaming:
                state.cancellations.append(action)
                return false
            case .whole, .finished: return false
            }
        }
        if isLate { action() }
    }

    /// Whether the client has left.
    var isCancelled: Bool { state.withLock { $0.hasLeft } }

    /// Whether a stream takes more.
    var isStreaming: Bool {
        state.withLock { if case .streaming = $0.phase { true } else { false } }
    }

    // MARK: The carrier's side

    /// Sets what is called, on any thread, after each change.
    package func onChange(_ wake: @escaping @Sendable () -> Void) {
        state.withLock { $0.wake = wake }
    }

    /// Adds fields to whatever response there will be.
    package func add(_ fields: HeaderFields) {
        state.withLock { state in
            for field in fields.entries { state.added.add(field.name, field.value) }
        }
    }

    /// The response as far as it is known.
    package var step: Step {
        state.withLock { state in
            switch state.phase {
            case .pending: return .pending
            case .whole(var response):
                response.fields = ResponseChannel.merged(response.fields, state.added)
                return .whole(response)
            case .streaming(let status, let fields), .finished(let status, let fields):
                let fields = ResponseChannel.merged(fields, state.added)
                return .stream(status: status, fields: fields)
            case .broken: return .broken
            }
        }
    }

    /// Takes bytes of the stream.
    package func take(into target: UnsafeMutableBufferPointer<UInt8>) -> Piece {
        state.withLock { state in
            let count = state.queue.take(into: target)
            if count > 0 { return .bytes(count) }
            switch state.phase {
            case .pending, .streaming: return .none
            case .whole, .finished: return .end
            case .broken: return .broken
            }
        }
    }

    /// The other side has closed its half: it takes no more of a stream, and wants no work done. A handler that did not
    /// ask to be told may still answer.
    package func peerLeft() {
        var cancelled: [@Sendable () -> Void] = []
        _ = change { state in
            guard !state.hasLeft else { return false }
            state.hasLeft = true
            switch state.phase {
            case .pending where state.cancellations.isEmpty: return false
            case .pending, .streaming: cancelled = ResponseChannel.abandon(&state)
            case .whole, .finished, .broken: return false
            }
            return true
        }
        for action in cancelled { action() }
    }

    /// Nothing can be sent any more.
    package func close() {
        var cancelled: [@Sendable () -> Void] = []
        state.withLock { state in
            state.wake = {}
            switch state.phase {
            case .pending, .streaming:
                cancelled = ResponseChannel.abandon(&state)
            case .whole, .finished, .broken:
                state.phase = .broken
                state.queue.clear()
            }
        }
        for action in cancelled { action() }
    }

    /// As `close`, for a carrier that is still to be told.
    package func abort() {
        var cancelled: [@Sendable () -> Void] = []
        _ = change { state in
            cancelled = ResponseChannel.abandon(&state)
            return true
        }
        for action in cancelled { action() }
    }

    // MARK: Parts

    /// Ends the response; the actions that the caller is to call, outside of the lock.
    private static func abandon(_ state: inout State) -> [@Sendable () -> Void] {
        let actions = state.cancellations
        state.cancellations = []
        state.hasLeft = true
        state.phase = .broken
        state.queue.clear()
        return actions
    }

    private func change(_ body: (inout State) -> Bool) -> Bool {
        let (isChanged, wake) = state.withLock { state in
            let isChanged = body(&state)
            return (isChanged, state.wake)
        }
        // Outside of the lock, for the carrier looks back at once. Also after a write that broke the stream off.
        wake()
        return isChanged
    }

    private static func merged(_ fields: HeaderFields, _ added: HeaderFields) -> HeaderFields {
        var result = fields
        for field in added.entries { result.add(field.name, field.value) }
        return result
    }
}
