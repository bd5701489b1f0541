// SPDX-License-Identifier: Apache-2.0
// All of the server but its sockets: which requests are let in, and what answers them.
import EftConfig
import EftTensor
import Synchronization

/// What an application does with requests besides routing them.
package struct ApplicationOptions: Sendable {
    /// The keys of which a request must show one; none guards nothing.
    package var keys = APIKeys([])
    /// The web pages whose scripts may use the server.
    package var origins = AllowedOrigins([])
    /// The hosts that requests may name.
    package var hosts = AllowedHosts.any
    /// Whether answers carry the request's name.
    package var sendsRequestID = false
    /// The most bytes of a body.
    package var bodyLimit = 16 << 20
    /// The most bytes of all bodies that are held at a time.
    package var allBodiesLimit = 256 << 20
    /// The most bytes of a header.
    package var headerLimit = 64 << 10
    /// The most fields of a header.
    package var fieldLimit = 128
    /// The most bytes of a stream that wait for a slow client.
    package var streamLimit = 1 << 20
    /// The bounds of JSON bodies.
    package var json = JSONBody.Limits()

    /// The defaults.
    package init() {}
}

/// A request that has been looked at, and is answered through its channel.
package struct Call: Sendable {
    /// The request's head.
    package let head: RequestHead
    /// Where the answer goes.
    package let channel: ResponseChannel
    /// The answer, when the request is turned away before its body is looked at.
    package var refusal: Response?
    /// Whether what follows the head may not be what it seems, so that the connection cannot go on.
    package let endIsDoubtful: Bool
    /// The form of errors that the client reads.
    package let form: ErrorForm
    /// The route's path, or `none`.
    package let handler: String
    /// The client's name for the request, or ours.
    package let requestID: String
    /// When the head was there.
    package let start = ContinuousClock.now

    fileprivate let target: RequestTarget?
    fileprivate let match: Router.Match?
    fileprivate let label: String?
}

/// How a call ended.
package struct CallOutcome: Sendable {
    /// The status for a client that left before there was one.
    package static let clientLeft = 499

    /// The status sent, or `clientLeft`.
    package let status: Int
    /// Bytes of the body that was sent.
    package let responseBytes: Int
    /// Bytes of the body that was received.
    package let requestBytes: Int

    /// Makes an outcome.
    package init(status: Int, requestBytes: Int, responseBytes: Int) {
        self.status = status
        self.requestBytes = requestBytes
        self.responseBytes = responseBytes
    }
}

/// Routes, and the rules for all of them.
package final class Application: Sendable {
    /// The rules.
    package let options: ApplicationOptions
    private let router: Router
    private let metrics: HTTPMetrics?
    private let log: AccessLog?
    private let terminalLog: AccessLog?
    private let counter = Atomic<UInt64>(0)
    private let idPrefix: String

    /// Makes an application.
    /// - Parameters:
    ///   - log: where a line goes for each request.
    ///   - terminalLog: where a line goes for each request but those that only watch the server.
    package init(
        routes: [any Route], options: ApplicationOptions = ApplicationOptions(),
        metrics: HTTPMetrics? = nil, log: AccessLog? = nil, terminalLog: AccessLog? = nil
    ) {
        self.options = options
        self.metrics = metrics
        self.log = log
        self.terminalLog = terminalLog
        router = Router(routes)
        idPrefix = String(UInt64.random(in: 0...UInt64.max), radix: 16)
    }

    // MARK: The order of things

    /// Looks at a request's head.
    package func admit(_ head: RequestHead) -> Call {
        let channel = ResponseChannel(bufferLimit: options.streamLimit)
        let label = RequestLabel.accepted(head.fields[RequestLabel.field])
        let number = counter.add(1, ordering: .relaxed).newValue
        let requestID = label ?? "\(idPrefix)-\(number)"
        if options.sendsRequestID { channel.add([RequestLabel.field: requestID]) }
        if let origin = head.fields["Origin"] { channel.add(options.origins.fields(for: origin)) }

        let form = ErrorForm(target: head.rawTarget)
        let target = RequestTarget(head.rawTarget)
        var match: Router.Match?
        var refusal: Response?
        var endIsDoubtful = true
        do {
            try Framing.check(head, options)
            endIsDoubtful = false
            let decision = try decide(head, target)
            switch decision {
            case .serve(let found): match = found
            case .answer(let response): refusal = response
            }
        } catch {
            refusal = error.response(form)
        }
        return Call(
            head: head, channel: channel, refusal: refusal, endIsDoubtful: endIsDoubtful,
            form: form, handler: match?.route.path ?? "none", requestID: requestID, target: target,
            match: match, label: label)
    }

    /// Runs the route of a call that was let in, which answers through the call's channel, now or later; or turns it away.
    package func run(_ call: Call, body: [UInt8]) {
        if let refusal = call.refusal {
            _ = call.channel.respond(refusal)
            return
        }
        let responder = Responder(call.channel, call.form)
        guard let target = call.target, let match = call.match else { return }
        let request = Request(
            method: call.head.method, target: target, captures: match.captures,
            fields: call.head.fields, body: body, peer: call.head.peer, label: call.label,
            jsonLimits: options.json)
        do {
            try match.route.handle(request, responder)
        } catch let failure as HTTPFailure {
            responder.fail(failure)
        } catch {
            // What went wrong inside is not for the client: it may name paths of this machine.
            responder.fail(.internalError("the server failed; see its log"))
        }
    }

    /// Counts and logs a call that has ended.
    package func ended(_ call: Call, _ outcome: CallOutcome) {
        let seconds = (ContinuousClock.now - call.start).seconds
        let isCounted = call.match?.route.isCounted ?? true
        if isCounted {
            metrics?.record(
                method: call.head.method, handler: call.handler, outcome, seconds: seconds)
        }
        if isCounted || outcome.status >= 400 {
            terminalLog?.write(call, outcome, seconds: seconds)
        }
        log?.write(call, outcome, seconds: seconds)
    }

    // MARK: Rules

    private enum Decision {
        case serve(Router.Match)
        case answer(Response)
    }

    private func decide(
        _ head: RequestHead, _ target: RequestTarget?
    ) throws(HTTPFailure) -> Decision {
        guard let target else {
            throw .badRequest("the request's target is not the path of a resource")
        }
        try options.hosts.check(head)
        if let answer = options.origins.preflight(head) { return .answer(answer) }
        let outcome = router.match(head.method, target.segments)
        if case .found(let match) = outcome, match.route.access == .open {
            return .serve(try checkedBody(match, head))
        }
        // Before anything else is told, also whether a path exists.
        try options.keys.check(head.fields["Authorization"])
        switch outcome {
        case .found(let match): return .serve(try checkedBody(match, head))
        case .otherMethods(let methods):
            throw HTTPFailure(
                405, type: "MethodNotAllowedError",
                "\(excerpt(head.method, limit: 20)) is not served here, but \(methods.joined(separator: ", "))",
                fields: ["Allow": methods.joined(separator: ", ")])
        case .missing:
            throw OllamaInterface.unserved(target)
                ?? .notFound("there is nothing at \(excerpt(target.path))")
        }
    }

    private func checkedBody(
        _ match: Router.Match, _ head: RequestHead
    ) throws(HTTPFailure) -> Router.Match {
        if let length = head.contentLength, length > options.bodyLimit { throw bodyTooLarge }
        switch match.route.body {
        case .json where head.hasBody && !JSONBody.isAnnounced(head.fields):
            throw .badRequest("the body's Content-Type must be application/json")
        case .anyType where !JSONBody.isAnnounced(head.fields): try checkOrigin(head)
        case .json, .anyType, .ignored: break
        }
        return match
    }

    /// Refuses what a page of others had a browser send. Without a type, or with that of a form, a browser sends a body to any
    /// server without asking it first, and a server that asks for no key would do the work.
    private func checkOrigin(_ head: RequestHead) throws(HTTPFailure) {
        guard let origin = head.fields["Origin"], !options.origins.isAllowed(origin) else { return }
        let parts = origin.split(separator: "://", maxSplits: 1)
        guard parts.count == 2, let host = head.fields["Host"],
            HeaderFields.areSame(String(parts[1]), host)
        else {
            throw HTTPFailure(
                403, type: "PermissionDeniedError",
                "the origin '\(excerpt(origin, limit: 100))' is not among the allowed ones "
                    + "(--allowed-origins)")
        }
    }

    /// The failure of a request whose body is larger than is accepted.
    package var bodyTooLarge: HTTPFailure {
        HTTPFailure(
            413, type: "RequestEntityTooLargeError",
            "the body is larger than the \(options.bodyLimit) bytes that are accepted")
    }
}
