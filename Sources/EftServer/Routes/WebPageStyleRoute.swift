// SPDX-License-Identifier: Apache-2.0
// How the page looks.

/// `GET /page.css`; open to everybody, for it holds no data: the browser asks for those with a key.
struct WebPageStyleRoute: RegisteredRoute {
    let methods = ["GET"]
    let path = "/page.css"
    let access = RouteAccess.open
    let body = RouteBody.ignored
    let isCounted = false

    init(_ context: ServerContext) {}

    func handle(_ request: Request, _ responder: Responder) {
        responder.respond(PageAsset.response(PageStyle.text, type: "text/css"))
    }
}
