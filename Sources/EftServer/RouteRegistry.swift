// SPDX-License-Identifier: Apache-2.0
// All routes of the server, and what they are made of.

/// What routes need of the rest of the program.
package struct ServerContext: Sendable {
    /// The program's version.
    package var version: String
    /// Whether the engine works.
    package var isHealthy: @Sendable () -> Bool = { true }
    /// Requests for the model under way.
    package var load: @Sendable () -> Int = { 0 }
    /// The model; nil for a server that has none.
    package var model: ServedModel?
    /// The numbers that are published.
    package var registry: MetricsRegistry
    /// Who may read them.
    package var metricsAccess = RouteAccess.keyed
    /// Whether the server has keys, of which requests must show one.
    package var needsKey = false
    /// What the memory is planned for, in bytes.
    package var memory: [(purpose: String, bytes: Int)] = []
    /// Bytes that the program may hold; nil for no bound.
    package var memoryLimit: Int?

    /// Makes a context.
    package init(version: String, registry: MetricsRegistry) {
        self.version = version
        self.registry = registry
    }
}

/// A route that the server makes itself.
package protocol RegisteredRoute: Route {
    /// Makes the route; nil where the context switches it off.
    init?(_ context: ServerContext)
}

/// A route to the model, which a server without one does not have.
protocol ModelServingRoute: RegisteredRoute {
    /// Makes the route; nil where the model's settings switch it off.
    init?(model: ServedModel)
}

extension ModelServingRoute {
    init?(_ context: ServerContext) {
        guard let model = context.model else { return nil }
        self.init(model: model)
    }
}

/// The routes, each a file in `Routes/` of the type's name.
package enum RouteRegistry {
    /// All routes; a new one is a line here.
    package static let all: [any RegisteredRoute.Type] = [
        ChatCompletionsRoute.self,
        CompletionsRoute.self,
        DetokenizeRoute.self,
        EmbeddingsRoute.self,
        GenerateRoute.self,
        HealthRoute.self,
        LoadAdapterRoute.self,
        LoadRoute.self,
        MetricsRoute.self,
        ModelRoute.self,
        ModelsRoute.self,
        OllamaChatRoute.self,
        OllamaEmbedRoute.self,
        OllamaEmbeddingsRoute.self,
        OllamaGenerateRoute.self,
        OllamaPsRoute.self,
        OllamaShowRoute.self,
        OllamaTagsRoute.self,
        OllamaVersionRoute.self,
        OpenAPIRoute.self,
        PingRoute.self,
        StatusRoute.self,
        TokenizeRoute.self,
        TokenizerInfoRoute.self,
        UnloadAdapterRoute.self,
        VersionRoute.self,
        WebPageRoute.self,
        WebPageScriptRoute.self,
        WebPageStyleRoute.self,
    ]

    /// The routes for a context.
    package static func routes(_ context: ServerContext) -> [any Route] {
        all.compactMap { $0.init(context) }
    }
}
