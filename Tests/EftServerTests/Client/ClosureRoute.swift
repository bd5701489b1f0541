// SPDX-License-Identifier: Apache-2.0
// Routes that a test writes down where it uses them.
import EftServer

struct ClosureRoute: Route {
    var methods: [String]
    var path: String
    var access = RouteAccess.keyed
    var body = RouteBody.json
    let action: @Sendable (Request, Responder) throws -> Void

    init(
        _ method: String, _ path: String, access: RouteAccess = .keyed, body: RouteBody = .json,
        _ action: @escaping @Sendable (Request, Responder) throws -> Void
    ) {
        methods = [method]
        self.path = path
        self.access = access
        self.body = body
        self.action = action
    }

    func handle(_ request: Request, _ responder: Responder) throws {
        try action(request, responder)
    }

    /// Answers with the size of the body, and its sum.
    static let measure = ClosureRoute("POST", "/measure") { request, responder in
        let sum = request.body.reduce(0) { $0 &+ Int($1) }
        responder.respond(.json(["count": .init(request.body.count), "sum": .init(sum)]))
    }

    /// Answers with a word.
    static let hello = ClosureRoute("GET", "/hello") { _, responder in
        responder.respond(.text("hello"))
    }
}
