// SPDX-License-Identifier: Apache-2.0
// What the page does.

/// `GET /page.js`; open to everybody, for it holds no data: the browser asks for those with a key.
struct WebPageScriptRoute: RegisteredRoute {
    let methods = ["GET"]
    let path = "/page.js"
    let access = RouteAccess.open
    let body = RouteBody.ignored
    let isCounted = false

    init(_ context: ServerContext) {}

    func handle(_ request: Request, _ responder: Responder) {
        responder.respond(PageAsset.response(PageScript.text, type: "text/javascript"))
    }
}
