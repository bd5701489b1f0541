// SPDX-License-Identifier: Apache-2.0
// The parts of the page as answers to a browser.

/// Nothing from elsewhere, no script or style but the page's own files, and no other page around it. The browser itself
/// refuses to make markup or scripts of text (`trusted-types`), so that a mistake in the page cannot do so either.
private let policy =
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    + "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    + "trusted-types 'none'"

/// A part of the page; open to everybody, for it holds no data: the browser asks for those with a key.
protocol PageAsset: RegisteredRoute {
    /// The media type of what the browser gets.
    static var type: String { get }
    /// What the browser gets.
    /// - Throws: `HTTPFailure` (404) when there is no such part.
    func text(_ request: Request) throws(HTTPFailure) -> String
    /// Makes the route.
    init()
}

extension PageAsset {
    var methods: [String] { ["GET"] }
    var access: RouteAccess { .open }
    var body: RouteBody { .ignored }
    var isCounted: Bool { false }

    init?(_ context: ServerContext) { self.init() }

    func handle(_ request: Request, _ responder: Responder) throws {
        try answer(request, responder)
    }

    /// Answers so that the browser asks anew each time: another version of the program has another page.
    func answer(_ request: Request, _ responder: Responder) throws {
        responder.respond(
            Response(
                fields: [
                    "Content-Type": "\(Self.type); charset=utf-8",
                    "Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff",
                    "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache",
                ],
                body: Array(try text(request).utf8)))
    }
}
