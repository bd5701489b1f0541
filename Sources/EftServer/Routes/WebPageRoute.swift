// SPDX-License-Identifier: Apache-2.0
// The page to chat on and to watch the memory.

/// `GET /`; open to everybody, for it holds no data: the browser asks for those with a key.
struct WebPageRoute: RegisteredRoute {
    let methods = ["GET"]
    let path = "/"
    let access = RouteAccess.open
    let body = RouteBody.ignored
    let isCounted = false

    init(_ context: ServerContext) {}

    func handle(_ request: Request, _ responder: Responder) {
        responder.respond(PageAsset.response(PageHTML.text, type: "text/html"))
    }
}
