// SPDX-License-Identifier: Apache-2.0
// Tokens as text.
import EftConfig

/// `POST /detokenize`.
struct DetokenizeRoute: RegisteredRoute {
    let methods = ["POST"]
    let path = "/detokenize"
    private let model: ServedModel

    init?(_ context: ServerContext) {
        guard let model = context.model else { return nil }
        self.model = model
    }

    func handle(_ request: Request, _ responder: Responder) throws {
        let fields = try RequestFields(request.json())
        _ = try model.named(fields)
        guard let tokens = try fields.tokens("tokens") else {
            throw fields.failure("tokens", "is missing")
        }
        responder.respond(.json(["prompt": ConfigNode(try model.decode(tokens))]))
    }
}
