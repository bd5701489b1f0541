// SPDX-License-Identifier: Apache-2.0
// What answers the requests for one path.

/// Who may use a route.
package enum RouteAccess: Sendable, Hashable {
    /// Everybody.
    case open
    /// Who sends one of the server's keys, when it has any.
    case keyed
}

/// What a route does with the bodies of its requests.
package enum RouteBody: Sendable, Hashable {
    /// Bodies must be announced as JSON.
    case json
    /// Bodies are JSON, whatever their type is said to be, if anything is said.
    case anyType
    /// Bodies are not looked at.
    case ignored
}

/// A path of the server. A route is a file in `Routes/` and a line in `RouteRegistry`.
package protocol Route: Sendable {
    /// The methods served, such as `GET`.
    var methods: [String] { get }
    /// The path. A part `{name}` stands for any one part, and `{name*}` at the end for all that follow, one at least;
    /// handlers find them in `Request.captures`.
    var path: String { get }
    /// Who may use it.
    var access: RouteAccess { get }
    /// What its bodies must be.
    var body: RouteBody { get }
    /// Whether requests are counted in `http_*`; not those that only watch the server.
    var isCounted: Bool { get }

    /// Answers a request, now or later through the responder that it keeps.
    ///
    /// It is called on one of a few threads that serve all requests: it may check and tokenize, but never waits for a
    /// model or another request.
    /// - Throws: `HTTPFailure` for what the client is told; anything else becomes a plain 500.
    func handle(_ request: Request, _ responder: Responder) throws
}

extension Route {
    package var access: RouteAccess { .keyed }
    package var body: RouteBody { .json }
    package var isCounted: Bool { true }
}
