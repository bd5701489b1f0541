// SPDX-License-Identifier: Apache-2.0
// The page to chat on and to watch the memory.

/// `GET /`: the page; a word for Ollama's clients, which look there whether a server runs and take anything but a page.
struct WebPageRoute: RegisteredRoute {
    let methods = ["GET"]
    let path = "/"
    let access = RouteAccess.open
    let body = RouteBody.ignored
    let isCounted = false

    private struct Page: PageAsset {
        static let text = PageHTML.text
        static let type = "text/html"
        let path = "/"
    }

    init?(_ context: ServerContext) {}

    func handle(_ request: Request, _ responder: Responder) {
        guard let types = request.fields["Accept"], !types.lowercased().contains("text/html")
        else { return Page().handle(request, responder) }
        responder.respond(.text("Ollama is running"))
    }
}
