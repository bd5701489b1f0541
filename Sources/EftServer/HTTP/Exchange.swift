// SPDX-License-Identifier: Apache-2.0
// A request and its response on a connection, driven by the sockets' thread.
import CMicroHTTPD
import Synchronization

/// The C library's name for a request. The library is told to resume one from any thread; all else happens on its own.
struct ExchangeHandle: @unchecked Sendable {
    let pointer: OpaquePointer
}

/// One request on its way through the server.
///
/// While there is nothing to send it is suspended: out of the sockets' loop, until its channel changes. The lock is held from
/// looking at the channel until suspended, so that no change goes unnoticed in between.
final class Exchange: Sendable {
    private struct State {
        /// Gone when the exchange has ended.
        var handle: ExchangeHandle?
        var call: Call?
        var body: [UInt8] = []
        /// Bytes of the body, also of those that are thrown away.
        var received = 0
        var isWhole = false
        var isSuspended = false
        var status = CallOutcome.clientLeft
        var sent = 0
    }

    let connection: Connection
    private let core: ServerCore
    private let target: String
    private let state: Mutex<State>

    init(_ handle: ExchangeHandle, target: String, connection: Connection, core: ServerCore) {
        self.connection = connection
        self.core = core
        self.target = target
        state = Mutex(State(handle: handle))
    }

    // MARK: Receiving, on the sockets' thread; false closes the connection

    /// The header is there.
    func head(method: String) -> Bool {
        guard let handle = state.withLock({ $0.handle }) else { return false }
        let head = RequestHead(
            method: method, target: target, fields: Exchange.fields(handle),
            peer: connection.peer)
        var call = core.application.admit(head)
        if core.isDraining {
            call.refusal = HTTPFailure.unavailable("the server is stopping").response(call.form)
        }
        call.channel.onChange { [weak self] in self?.wake() }
        let admitted = call
        state.withLock { $0.call = admitted }
        connection.expect(within: core.options.bodyTimeout)
        guard call.refusal != nil, call.endIsDoubtful || !isWorthReading(head) else { return true }
        core.application.run(call, body: [])
        return advance(call, closes: true)
    }

    /// Whether a refused request's body is read and thrown away, so that the connection can go on and the client reads the
    /// refusal; not when the client waits for leave to send it, or would send much.
    private func isWorthReading(_ head: RequestHead) -> Bool {
        head.fields["Expect"] == nil && (head.contentLength ?? 0) <= readLimit
    }

    private var readLimit: Int {
        core.application.options.bodyLimit.multipliedReportingOverflow(by: 2).partialValue
    }

    /// Bytes of the body are there.
    func body(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        state.withLock { state in
            state.received += bytes.count
            if state.call?.refusal == nil { keep(bytes, &state) }
            return state.received <= readLimit
        }
    }

    private func keep(_ bytes: UnsafeBufferPointer<UInt8>, _ state: inout State) {
        let application = core.application
        let form = state.call?.form ?? .openAI
        if state.received > application.options.bodyLimit {
            state.call?.refusal = application.bodyTooLarge.response(form)
        } else if !core.reserve(bytes.count) {
            state.call?.refusal =
                HTTPFailure.unavailable("too many bodies at a time", retryAfter: 1).response(form)
        } else {
            state.body.append(contentsOf: bytes)
            return
        }
        core.release(state.body.count)
        state.body = []
    }

    /// The whole request is there, or was resumed.
    func ready() -> Bool {
        let (first, call) = state.withLock { state in
            defer { state.isWhole = true }
            return (!state.isWhole, state.call)
        }
        guard let call else { return false }
        if first {
            connection.setDeadline(in: nil)
            if connection.peerHasLeft { call.channel.peerLeft() }
            if call.refusal != nil { core.application.run(call, body: []) }
        }
        guard advance(call) else { return false }
        if first, call.refusal == nil { run(call) }
        return true
    }

    private func run(_ call: Call) {
        core.pool.submit { [self] in
            let body = state.withLock { state in
                defer { state.body = [] }
                return state.body
            }
            core.application.run(call, body: body)
            // What the handler keeps of it is its own matter, and counted by its own limits.
            core.release(body.count)
        }
    }

    // MARK: Sending, on the sockets' thread

    /// Hands over what there is of the response, or waits for it.
    private func advance(_ call: Call, closes: Bool = false) -> Bool {
        let closes = closes || core.isDraining
        return state.withLock { state in
            guard let handle = state.handle else { return false }
            switch call.channel.step {
            case .pending:
                guard !core.isAborting else { return false }
                state.isSuspended = true
                eft_http_suspend(handle.pointer)
                return true
            case .whole(let response):
                state.status = response.status
                // The library sends the head alone.
                state.sent = call.head.method == "HEAD" ? 0 : response.body.count
                connection.setDeadline(in: timeToWrite(response.body.count))
                return Exchange.send(response, handle, closes: closes)
            case .stream(let status, let fields):
                state.status = status
                connection.setDeadline(in: core.options.writeTimeout)
                return Exchange.stream(status, fields, handle, closes: closes)
            case .broken: return false
            }
        }
    }

    /// Even a slow line takes 16 KiB a second.
    private func timeToWrite(_ byteCount: Int) -> Duration {
        core.options.writeTimeout + .seconds(byteCount >> 14)
    }

    /// Gives the sockets' thread bytes of a stream.
    func read(into target: UnsafeMutableBufferPointer<UInt8>) -> Int64 {
        state.withLock { state in
            guard let handle = state.handle, let call = state.call else { return breakOff() }
            switch call.channel.take(into: target) {
            case .bytes(let count):
                state.sent += count
                connection.setDeadline(in: core.options.writeTimeout)
                return Int64(count)
            case .none:
                guard !core.isAborting else { return breakOff() }
                connection.setDeadline(in: nil)
                state.isSuspended = true
                eft_http_suspend(handle.pointer)
                return 0
            case .end: return -1
            case .broken: return breakOff()
            }
        }
    }

    /// Ends a stream before its end. The library's own way leaves connections that were resumed behind, without an event
    /// that would close them; so it is told of an end, which it fails to send.
    private func breakOff() -> Int64 {
        connection.shutDown()
        return -1
    }

    /// The exchange is over.
    func completed() {
        let (call, unread, outcome) = state.withLock { state in
            defer {
                state.handle = nil
                state.isSuspended = false
                state.call = nil
                state.body = []
            }
            let outcome = CallOutcome(
                status: state.status, requestBytes: state.received, responseBytes: state.sent)
            return (state.call, state.body.count, outcome)
        }
        core.release(unread)
        connection.end(self)
        connection.expect(within: core.options.keepAliveTimeout)
        call?.channel.close()
        if let call { core.application.ended(call, outcome) }
        core.exchangeEnded()
        if core.isDraining { connection.shutDown() }
    }

    // MARK: From other threads

    /// The channel has changed.
    private func wake() {
        let isStuck = state.withLock { state in
            guard let handle = state.handle else { return false }
            if state.isSuspended {
                state.isSuspended = false
                eft_http_resume(handle.pointer)
                return false
            }
            // The sockets' thread waits for the client to take what was sent, which it may never do.
            if case .broken? = state.call?.channel.step { return true }
            return false
        }
        if isStuck { connection.shutDown() }
    }

    /// The other side has closed its half.
    func peerLeft() { state.withLock { $0.call }?.channel.peerLeft() }

    /// Ends the exchange without a response.
    func abort() { state.withLock { $0.call }?.channel.abort() }
}

// MARK: - C

extension Exchange {
    private static func fields(_ handle: ExchangeHandle) -> HeaderFields {
        var fields = HeaderFields()
        withUnsafeMutablePointer(to: &fields) { target in
            eft_http_fields(handle.pointer, target) { context, name, nameCount, value, valueCount in
                guard let context, let name, let value else { return false }
                context.assumingMemoryBound(to: HeaderFields.self).pointee.add(
                    text(name, nameCount), text(value, valueCount))
                return true
            }
        }
        return fields
    }

    private static func send(_ response: Response, _ handle: ExchangeHandle, closes: Bool) -> Bool {
        let made = response.body.withUnsafeBufferPointer {
            eft_http_response_bytes($0.baseAddress, $0.count)
        }
        return hand(made, response.status, response.fields, handle, closes: closes)
    }

    private static func stream(
        _ status: Int, _ fields: HeaderFields, _ handle: ExchangeHandle, closes: Bool
    ) -> Bool {
        hand(eft_http_response_stream(handle.pointer), status, fields, handle, closes: closes)
    }

    private static func hand(
        _ response: OpaquePointer?, _ status: Int, _ fields: HeaderFields,
        _ handle: ExchangeHandle, closes: Bool
    ) -> Bool {
        guard let response else { return false }
        for field in fields.entries {
            // A field that cannot stand in a header is left out; the answer matters more.
            _ = eft_http_response_field(response, field.name, field.value)
        }
        if closes { _ = eft_http_response_field(response, "Connection", "close") }
        return eft_http_respond(handle.pointer, UInt32(clamping: status), response)
    }
}

private func text(_ characters: UnsafePointer<CChar>, _ count: Int) -> String {
    String(decoding: UnsafeRawBufferPointer(start: characters, count: count), as: UTF8.self)
}
