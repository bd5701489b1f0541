// SPDX-License-Identifier: Apache-2.0
// What a route does, in the words of an OpenAPI document.
import EftConfig

/// One method of one path.
struct OpenAPIOperation: Sendable {
    /// A body, or what a successful answer holds.
    struct Content: Sendable {
        let type: String
        let schema: OpenAPISchema

        static func json(_ name: String) -> Content {
            Content(type: "application/json", schema: .named(name))
        }

        static func text(_ about: String, type: String = "text/plain") -> Content {
            Content(type: type, schema: OpenAPISchema.string.about(about))
        }
    }

    /// The route's method and path as it has them.
    let method: String
    let path: String
    /// A name for programs.
    let id: String
    let group: String
    let summary: String
    var description: String?
    /// The body's schema among the components; nil for none.
    var request: String?
    /// What an answer of status 200 says and holds.
    let answer: String
    var contents: [Content] = []
    /// Statuses of failures that only this operation has, beside those that all have.
    var failures: [Int] = []
    /// Whether failures have Ollama's form.
    var isOllama = false

    /// The operation as JSON.
    /// - Parameters:
    ///   - needsKey: whether a request must show a key.
    ///   - hasKeys: whether the server has keys at all.
    func node(needsKey: Bool, hasKeys: Bool) -> ConfigNode {
        var object: ConfigObject = [
            "tags": [ConfigNode(group)], "summary": ConfigNode(summary),
            "operationId": ConfigNode(id),
        ]
        if let description { object["description"] = ConfigNode(description) }
        if !parameters.isEmpty { object["parameters"] = ConfigNode(parameters) }
        if let request {
            object["requestBody"] = [
                "required": true,
                "content": ["application/json": ["schema": OpenAPISchema.named(request).node]],
            ]
        }
        object["responses"] = responses(needsKey: needsKey && hasKeys)
        if hasKeys, !needsKey { object["security"] = [] }
        return ConfigNode(object)
    }

    /// Parts of the path that stand for anything.
    private var parameters: [ConfigNode] {
        OpenAPIPath.captures(path).map { name in
            [
                "name": ConfigNode(name), "in": "path", "required": true,
                "schema": OpenAPISchema.string.with("minLength", 1).node,
            ]
        }
    }

    private func responses(needsKey: Bool) -> ConfigNode {
        var good: ConfigObject = ["description": ConfigNode(answer)]
        if !contents.isEmpty {
            var types = ConfigObject()
            for content in contents { types[content.type] = ["schema": content.schema.node] }
            good["content"] = ConfigNode(types)
        }
        var object: ConfigObject = ["200": ConfigNode(good)]
        var statuses = Set(failures)
        if request != nil { statuses.formUnion([400, 413]) }
        if needsKey { statuses.insert(401) }
        for status in statuses.sorted() {
            object[String(status)] =
                isOllama
                ? OpenAPIFailures.ollama(status)
                : ["$ref": "#/components/responses/\(OpenAPIFailures.name(status))"]
        }
        return ConfigNode(object)
    }
}

/// Paths of routes as OpenAPI writes them.
enum OpenAPIPath {
    /// The path; what a route calls `{id*}` is `{id}` here.
    static func formatted(_ path: String) -> String { String(path.filter { $0 != "*" }) }

    /// The names of the parts that stand for anything.
    static func captures(_ path: String) -> [String] {
        path.split(separator: "/").filter { $0.hasPrefix("{") }
            .map { String($0.dropFirst().dropLast().filter { $0 != "*" }) }
    }
}

/// How the server says that something went wrong.
enum OpenAPIFailures {
    private static let all: [(status: Int, name: String, about: String)] = [
        (
            400, "BadRequest",
            "The request cannot be served as it is; the message says what to change."
        ),
        (401, "Unauthorized", "The request shows none of the server's keys."),
        (404, "NotFound", "What the request names does not exist, such as its model."),
        (413, "TooLarge", "The body has more bytes than the server accepts."),
        (500, "ServerFault", "The server failed."),
        (503, "Unavailable", "Too much waits already, or the server is stopping."),
    ]

    /// The name of a status among the components.
    static func name(_ status: Int) -> String {
        all.first { $0.status == status }?.name ?? "ServerFault"
    }

    /// A failure of one of Ollama's routes.
    static func ollama(_ status: Int) -> ConfigNode {
        [
            "description": ConfigNode(all.first { $0.status == status }?.about ?? ""),
            "content": [
                "application/json": ["schema": OpenAPISchema.named("OllamaFailure").node]
            ],
        ]
    }

    /// The components, all with the same body.
    static var responses: ConfigNode {
        var object = ConfigObject()
        for failure in all {
            var response: ConfigObject = [
                "description": ConfigNode(failure.about),
                "content": ["application/json": ["schema": OpenAPISchema.named("Failure").node]],
            ]
            if let header = header(failure.status) { response["headers"] = header }
            object[failure.name] = ConfigNode(response)
        }
        return ConfigNode(object)
    }

    private static func header(_ status: Int) -> ConfigNode? {
        switch status {
        case 401:
            [
                "WWW-Authenticate": [
                    "description": "Bearer", "schema": OpenAPISchema.string.node,
                ]
            ]
        case 503:
            [
                "Retry-After": [
                    "description":
                        "Seconds until another try may succeed, where that can be guessed.",
                    "schema": OpenAPISchema.integer(from: 0).node,
                ]
            ]
        default: nil
        }
    }

    /// The body of a failure, also of one amid a stream.
    static let schema = OpenAPISchema.object(
        required: ["error"],
        [
            "error": .object(
                required: ["message", "type", "param", "code"],
                [
                    "message": OpenAPISchema.string.about("What is wrong and what to do."),
                    "type": OpenAPISchema.string.about("The kind, such as BadRequestError."),
                    "param": OpenAPISchema.string.orNull.about("The field that is at fault."),
                    "code": OpenAPISchema.integer(400...599).about("The status."),
                ])
        ])
}
