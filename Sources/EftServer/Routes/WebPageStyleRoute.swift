// SPDX-License-Identifier: Apache-2.0
// How the page looks.

/// `GET /page.css`.
struct WebPageStyleRoute: PageAsset {
    static let text = PageStyle.text
    static let type = "text/css"
    let path = "/page.css"
}
