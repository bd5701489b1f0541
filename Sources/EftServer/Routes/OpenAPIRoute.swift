// SPDX-License-Identifier: Apache-2.0
// The server's interface, described for programs.

/// `GET /openapi.json`: an OpenAPI document of all routes that this server has.
struct OpenAPIRoute: RegisteredRoute {
    let methods = ["GET"]
    let path = "/openapi.json"
    let isCounted = false
    private let context: ServerContext

    init(_ context: ServerContext) { self.context = context }

    func handle(_ request: Request, _ responder: Responder) {
        // Made anew each time, for adapters come and go.
        let routes = RouteRegistry.routes(context)
        responder.respond(.json(OpenAPIDocument(context, routes: routes).node))
    }
}
