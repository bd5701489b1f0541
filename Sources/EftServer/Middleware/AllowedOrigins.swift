// SPDX-License-Identifier: Apache-2.0
// Which web pages' scripts may use the server (CORS).

/// Origins such as `https://chat.example`; `*` allows all of them, and none is the default.
package struct AllowedOrigins: Sendable {
    private let origins: [String]

    /// Allows origins.
    package init(_ origins: [String]) { self.origins = origins }

    /// Whether scripts of an origin may use the server.
    func isAllowed(_ origin: String) -> Bool {
        HeaderFields.isFit(origin) && (origins.contains("*") || origins.contains(origin))
    }

    /// What answers to scripts of an origin carry, so that its browser hands them over.
    func fields(for origin: String) -> HeaderFields {
        guard !origins.isEmpty else { return [:] }
        // A cache must not give one origin's answer to another.
        guard isAllowed(origin) else { return ["Vary": "Origin"] }
        return ["Access-Control-Allow-Origin": origin, "Vary": "Origin"]
    }

    /// The answer to a browser that asks before it sends a script's request; nil for other requests. Browsers send no keys
    /// with it.
    func preflight(_ head: RequestHead) -> Response? {
        guard !origins.isEmpty, head.method == "OPTIONS",
            let origin = head.fields["Origin"],
            let method = head.fields["Access-Control-Request-Method"]
        else { return nil }
        guard isAllowed(origin), HeaderFields.isFit(method) else {
            return HTTPFailure(
                403, type: "PermissionDeniedError", "this origin is not among the allowed ones"
            ).response(ErrorForm(target: head.rawTarget))
        }
        var response = Response(
            status: 204,
            fields: [
                "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
                "Access-Control-Max-Age": "600",
            ])
        if let names = head.fields["Access-Control-Request-Headers"], HeaderFields.isFit(names) {
            response.fields.add("Access-Control-Allow-Headers", names)
        }
        return response
    }
}
