// SPDX-License-Identifier: Apache-2.0
// The page to chat on and to watch the memory.

/// `GET /`.
struct WebPageRoute: PageAsset {
    static let type = "text/html"
    let path = "/"

    func text(_ request: Request) -> String { PageHTML.text }
}
