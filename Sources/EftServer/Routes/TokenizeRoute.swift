// SPDX-License-Identifier: Apache-2.0
// Texts and chats as tokens.
import EftConfig

/// `POST /tokenize`: of a prompt or of messages.
struct TokenizeRoute: ModelServingRoute {
    let methods = ["POST"]
    let path = "/tokenize"
    let model: ServedModel

    func handle(_ request: Request, _ responder: Responder) throws {
        let fields = try RequestFields(request.json())
        _ = try model.named(fields)
        let tokens: [Int32]
        if fields["messages"] != nil {
            tokens = try ChatPrompt(fields, model).tokens
        } else if let prompt = try fields.string("prompt") {
            tokens = try model.encode(
                prompt, addSpecialTokens: fields.bool("add_special_tokens") ?? true)
        } else {
            throw fields.failure("prompt", "is missing; give a prompt or messages")
        }
        let wantsTexts = try fields.bool("return_token_strs") ?? false
        let texts =
            wantsTexts
            ? ConfigNode(tokens.map { model.tokenizer.token(for: $0) ?? "" }) : .null
        responder.respond(
            .json([
                "count": ConfigNode(tokens.count), "max_model_len": ConfigNode(model.maxLength),
                "tokens": ConfigNode(tokens.map { Int($0) }), "token_strs": texts,
            ]))
    }
}
