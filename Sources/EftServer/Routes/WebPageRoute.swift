// SPDX-License-Identifier: Apache-2.0
// The page to chat on and to watch the memory.

/// `GET /`: the page; a word for Ollama's clients, which look there whether a server runs and take anything but a page.
struct WebPageRoute: PageAsset {
    static let type = "text/html"
    let path = "/"

    func text(_ request: Request) -> String { PageHTML.text }

    func handle(_ request: Request, _ responder: Responder) throws {
        guard let types = request.fields["Accept"], !types.lowercased().contains("text/html")
        else { return try answer(request, responder) }
        responder.respond(.text("Ollama is running"))
    }
}
