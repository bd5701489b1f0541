// SPDX-License-Identifier: Apache-2.0
// How the page looks.

/// `GET /page.css`.
struct WebPageStyleRoute: PageAsset {
    static let type = "text/css"
    let path = "/page.css"

    func text(_ request: Request) -> String { PageStyle.text }
}
