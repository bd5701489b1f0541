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

/// The routes, each a file in `Routes/` of the type's name.
package enum RouteRegistry {
    /// Makes each route; nil where the context switches it off.
    private static let makers: [@Sendable (ServerContext) -> (any Route)?] = [
        { ChatCompletionsRoute($0) },
        { CompletionsRoute($0) },
        { DetokenizeRoute($0) },
        { EmbeddingsRoute($0) },
        { GenerateRoute($0) },
        { HealthRoute($0) },
        { LoadAdapterRoute($0) },
        { LoadRoute($0) },
        { MetricsRoute($0) },
        { ModelRoute($0) },
        { ModelsRoute($0) },
        { OpenAPIRoute($0) },
        { PingRoute($0) },
        { StatusRoute($0) },
        { TokenizeRoute($0) },
        { TokenizerInfoRoute($0) },
        { UnloadAdapterRoute($0) },
        { VersionRoute($0) },
        { WebPageRoute($0) },
        { WebPageScriptRoute($0) },
        { WebPageStyleRoute($0) },
    ]

    /// The routes for a context.
    package static func routes(_ context: ServerContext) -> [any Route] {
        makers.compactMap { $0(context) }
    }
}
