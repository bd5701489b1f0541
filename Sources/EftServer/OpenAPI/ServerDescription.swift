// SPDX-License-Identifier: Apache-2.0
// What concerns the server itself, in the OpenAPI document.
import EftConfig

/// Health, numbers and pages of the server.
enum ServerDescription {
    static let operations =
        [
            ("GET", "/health", "getHealth"), ("GET", "/ping", "getPing"),
            ("POST", "/ping", "postPing"),
        ].map { method, path, id in
            OpenAPIOperation(
                method: method, path: path, id: id, group: "server",
                summary: "Whether the engine works",
                description: "Answers have no body, also those of status 503.",
                answer: "It works.", failures: [503])
        } + [
            OpenAPIOperation(
                method: "GET", path: "/version", id: "getVersion", group: "server",
                summary: "The program's version", answer: "The version.",
                contents: [.json("Version")]),
            OpenAPIOperation(
                method: "GET", path: "/load", id: "getLoad", group: "server",
                summary: "Requests for the model under way", answer: "Their number.",
                contents: [.json("Load")]),
            OpenAPIOperation(
                method: "GET", path: "/status", id: "getStatus", group: "server",
                summary: "The memory and what the engine does", answer: "The present state.",
                contents: [.json("Status")]),
            OpenAPIOperation(
                method: "GET", path: "/metrics", id: "getMetrics", group: "server",
                summary: "All numbers, for Prometheus", answer: "The numbers.",
                contents: [.text("In Prometheus' text format.")]),
            OpenAPIOperation(
                method: "GET", path: "/openapi.json", id: "getDescription", group: "server",
                summary: "This document", answer: "The document.",
                contents: [
                    OpenAPIOperation.Content(
                        type: "application/json", schema: .map(to: .anything))
                ]),
        ]
        + [
            ("/", "getPage", "text/html", "A page to chat on and to watch the memory"),
            ("/page.css", "getPageStyle", "text/css", "How the page looks"),
        ].map { path, id, type, summary in
            OpenAPIOperation(
                method: "GET", path: path, id: id, group: "page", summary: summary,
                answer: "The text.",
                contents: [.text("For browsers.", type: type)]
                    + (path == "/" ? [.text("For Ollama's clients: a word.")] : []))
        } + [scripts]

    private static let scripts = OpenAPIOperation(
        method: "GET", path: "/page/{name}", id: "getPageScript", group: "page",
        summary: "One of the page's scripts", answer: "The text.",
        contents: [.text("For browsers.", type: "text/javascript")], failures: [404])

    static let schemas: [(String, OpenAPISchema)] = [
        ("Version", .object(required: ["version"], ["version": .string])),
        ("Load", .object(required: ["server_load"], ["server_load": .integer(from: 0)])),
        ("Status", status),
    ]

    private static let status = OpenAPISchema.object(
        required: [
            "version", "model", "max_model_len", "chat_template", "sampling_defaults", "memory",
            "engine",
        ],
        [
            "version": .string, "model": .string,
            "max_model_len": OpenAPISchema.integer(from: 1).about("Tokens of a sequence."),
            "chat_template": OpenAPISchema.boolean
                .about("Whether /v1/chat/completions is served without a template in the request."),
            "sampling_defaults": .object(
                required: StatusRoute.settings,
                StatusRoute.settings.map { ($0, OpenAPISchema.number.orNull) }),
            "memory": .object(
                required: ["limit", "planned", "resident"],
                [
                    "limit": OpenAPISchema.integer(from: 0).orNull
                        .about("Bytes that the program may hold; null for no bound."),
                    "planned": .list(
                        of: .object(
                            required: ["purpose", "bytes"],
                            ["purpose": .string, "bytes": .integer(from: 0)])),
                    "resident": OpenAPISchema.integer(from: 0).orNull
                        .about("Bytes that the process holds now, as the system counts them."),
                ]),
            "engine": .object(
                required: StatusRoute.numbers,
                StatusRoute.numbers.map { ($0, OpenAPISchema.integer(from: 0)) }),
        ])
}
