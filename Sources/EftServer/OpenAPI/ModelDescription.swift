// SPDX-License-Identifier: Apache-2.0
// The models that are served, in the OpenAPI document.
import EftConfig

/// `/v1/models`, the loading of adapters, and their bodies.
enum ModelDescription {
    static let operations = [
        OpenAPIOperation(
            method: "GET", path: "/v1/models", id: "listModels", group: "models",
            summary: "The base under its names, and the adapters", answer: "The models.",
            contents: [.json("ModelList")]),
        OpenAPIOperation(
            method: "GET", path: "/v1/models/{id*}", id: "getModel", group: "models",
            summary: "One of the models", description: "Names may hold slashes.",
            answer: "The model.", contents: [.json("Model")], failures: [404]),
        OpenAPIOperation(
            method: "POST", path: "/v1/load_lora_adapter", id: "loadAdapter", group: "models",
            summary: "Loads an adapter from below the server's folder of adapters",
            request: "LoadAdapterRequest", answer: "It is loaded.",
            contents: [.text("A sentence about it.")], failures: [404]),
        OpenAPIOperation(
            method: "POST", path: "/v1/unload_lora_adapter", id: "unloadAdapter",
            group: "models", summary: "Takes an adapter away",
            description: "Requests that use it finish first.", request: "UnloadAdapterRequest",
            answer: "No further request can name it.",
            contents: [.text("A sentence about it.")], failures: [404]),
    ]

    static let schemas: [(String, OpenAPISchema)] = [
        ("Model", model),
        (
            "ModelList",
            .object(
                required: ["object", "data"],
                ["object": .constant("list"), "data": .list(of: .named("Model"))])
        ),
        (
            "LoadAdapterRequest",
            .object(
                required: ["lora_name", "lora_path"],
                [
                    "lora_name": OpenAPISchema.string(1...256).about("256 bytes at most."),
                    "lora_path": OpenAPISchema.string.with("minLength", 1)
                        .about("From the folder of adapters on."),
                    "load_inplace": OpenAPISchema.boolean.orNull.standard(false)
                        .about("Whether an adapter of the same name gives way."),
                ])
        ),
        (
            "UnloadAdapterRequest",
            .object(required: ["lora_name"], ["lora_name": .string])
        ),
    ]

    private static let model = OpenAPISchema.object(
        required: ["id", "object", "created", "owned_by", "root", "parent", "max_model_len"],
        [
            "id": .string, "object": .constant("model"), "created": .integer,
            "owned_by": .string, "root": .string,
            "parent": OpenAPISchema.string.orNull.about("An adapter's base."),
            "max_model_len": OpenAPISchema.integer(from: 1).about("Tokens of a sequence."),
            "permission": .list(of: .map(to: .anything)),
        ])
}
