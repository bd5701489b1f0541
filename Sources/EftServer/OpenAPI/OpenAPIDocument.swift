// SPDX-License-Identifier: Apache-2.0
// The description of the server's interface for programs.
import EftConfig
import EftGeneration

/// An OpenAPI 3.1 document of some routes, with the limits that hold for the model that is served now.
struct OpenAPIDocument: Sendable {
    /// What schemas state about the model and its bounds.
    struct Facts: Sendable {
        var limits = RequestLimits()
        var generation = GenerationLimits()
        var defaults = SamplingDefaults()
        /// Token ids lie below this.
        var vocabulary = Int(Int32.max)
        /// Names that requests may give.
        var models: [String] = []
        /// Whether priorities differ.
        var hasPriorities = false
        /// Whether templates of requests are rendered.
        var trustsTemplates = false

        init(_ model: ServedModel?) {
            guard let model else { return }
            limits = model.options.limits
            generation = model.engine.configuration.limits
            defaults = model.options.defaults
            vocabulary = model.engine.vocabulary
            models = model.options.names + model.adapters.names
            hasPriorities = model.engine.configuration.policy == .priority
            trustsTemplates = model.options.trustsRequestTemplates
        }

        /// Most log-probabilities a token.
        var logprobs: Int { limits.logprobs < 0 ? vocabulary : limits.logprobs }
    }

    private let context: ServerContext
    private let routes: [any Route]
    private let facts: Facts

    init(_ context: ServerContext, routes: [any Route]) {
        self.context = context
        self.routes = routes
        facts = Facts(context.model)
    }

    private static let about =
        "Serves a language model as OpenAI, vLLM and Ollama do. Fields that are null count as absent; "
        + "unknown fields are passed over."

    /// The document.
    var node: ConfigNode {
        var document: ConfigObject = [
            "openapi": "3.1.0",
            "info": [
                "title": "Eft", "version": ConfigNode(context.version),
                "description": ConfigNode(OpenAPIDocument.about),
                "license": ["name": "Apache-2.0", "identifier": "Apache-2.0"],
            ],
            "servers": [["url": "/"]],
            "paths": paths,
            "components": components,
        ]
        if context.needsKey { document["security"] = [["key": []]] }
        return ConfigNode(document)
    }

    /// Everything that routes of this program can do.
    private static let operations =
        ChatDescription.operations + CompletionDescription.operations
        + TokenDescription.operations + ModelDescription.operations
        + OllamaDescription.operations + ServerDescription.operations

    private var paths: ConfigNode {
        var paths = ConfigObject()
        for route in routes {
            let key = OpenAPIPath.formatted(route.path)
            var item: ConfigObject =
                if case .object(let old)? = paths[key]?.value { old } else { ConfigObject() }
            for operation in OpenAPIDocument.operations
            where operation.path == route.path && route.methods.contains(operation.method) {
                item[operation.method.lowercased()] = operation.node(
                    needsKey: route.access == .keyed, hasKeys: context.needsKey)
            }
            paths[key] = ConfigNode(item)
        }
        return ConfigNode(paths)
    }

    private var components: ConfigNode {
        var schemas: ConfigObject = ["Failure": OpenAPIFailures.schema.node]
        let all =
            GenerationDescription.schemas(facts) + ChatDescription.schemas(facts)
            + CompletionDescription.schemas(facts) + TokenDescription.schemas(facts)
            + ModelDescription.schemas + OllamaDescription.schemas(facts)
            + ServerDescription.schemas
        for (name, schema) in all { schemas[name] = schema.node }
        var components: ConfigObject = [
            "schemas": ConfigNode(schemas), "responses": OpenAPIFailures.responses,
        ]
        if context.needsKey {
            components["securitySchemes"] = ["key": ["type": "http", "scheme": "bearer"]]
        }
        return ConfigNode(components)
    }
}
