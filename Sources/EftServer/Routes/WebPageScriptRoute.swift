// SPDX-License-Identifier: Apache-2.0
// What the page does.

/// `GET /page.js`.
struct WebPageScriptRoute: PageAsset {
    static let text = PageScript.text
    static let type = "text/javascript"
    let path = "/page.js"
}
