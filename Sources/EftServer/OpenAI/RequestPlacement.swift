// SPDX-License-Identifier: Apache-2.0
// What all requests to the engine have in common.
import EftGeneration

/// For which model a request is, when its turn comes, and with whom it shares pages.
struct RequestPlacement: Sendable {
    let named: ServedModel.Named
    var priority = 0
    let salt: String

    /// The placement that a body's fields state.
    /// - Throws: `HTTPFailure` (400).
    init(
        _ fields: RequestFields, _ named: ServedModel.Named, _ model: ServedModel
    ) throws(HTTPFailure) {
        self.named = named
        priority = try fields.priority(model)
        salt = try fields.cacheSalt(model.options.limits)
    }

    /// A placement without a priority.
    init(_ named: ServedModel.Named, salt: String) {
        self.named = named
        self.salt = salt
    }

    /// A request that is placed so.
    func request(
        _ prompt: [Int32], _ parameters: GenerationParameters, _ sink: any EngineSink
    ) -> EngineRequest {
        var request = EngineRequest(prompt: prompt, parameters: parameters, sink: sink)
        request.priority = priority
        request.root.salt = salt
        if let adapter = named.adapter { request.use(adapter) }
        return request
    }
}
