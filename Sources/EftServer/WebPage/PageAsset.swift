// SPDX-License-Identifier: Apache-2.0
// The parts of the page as answers to a browser.

/// A part of the page.
enum PageAsset {
    /// Nothing from elsewhere, no script or style but the page's own files, and no other page around it.
    private static let policy =
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        + "form-action 'none'; frame-ancestors 'none'"

    /// A text as a browser gets it, which asks for it anew each time: another version of the program has another page.
    static func response(_ text: String, type: String) -> Response {
        Response(
            fields: [
                "Content-Type": "\(type); charset=utf-8", "Content-Security-Policy": policy,
                "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
                "Cache-Control": "no-cache",
            ],
            body: Array(text.utf8))
    }
}
