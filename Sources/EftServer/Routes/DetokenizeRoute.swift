// SPDX-License-Identifier: Apache-2.0
// Tokens as text.
import EftConfig

/// `POST /detokenize`.
struct DetokenizeRoute: ModelServingRoute {
    let methods = ["POST"]
    let path = "/detokenize"
    let model: ServedModel

    func handle(_ request: Request, _ responder: Responder) throws {
        let fields = try RequestFields(request.json())
        _ = try model.named(fields)
        guard let tokens = try fields.tokens("tokens") else {
            throw fields.failure("tokens", "is missing")
        }
        responder.respond(.json(["prompt": ConfigNode(try model.decode(tokens))]))
    }
}
