// SPDX-License-Identifier: Apache-2.0
// What the page does.
import EftConfig

/// `GET /page/{name}`: one of the page's scripts.
struct WebPageScriptRoute: PageAsset {
    static let type = "text/javascript"
    let path = "/page/{name}"

    func text(_ request: Request) throws(HTTPFailure) -> String {
        let name = request.captures["name"] ?? ""
        guard let script = PageScripts.all.first(where: { $0.name == name }) else {
            throw .notFound("The page has no script `\(excerpt(name, limit: 100))`.")
        }
        return script.text
    }
}
