// SPDX-License-Identifier: Apache-2.0
// What evaluation tools ask of a tokenizer.
import EftConfig

/// `GET /tokenizer_info`: its special tokens and how long sequences may be.
struct TokenizerInfoRoute: ModelServingRoute {
    let methods = ["GET"]
    let path = "/tokenizer_info"
    let model: ServedModel

    func handle(_ request: Request, _ responder: Responder) {
        let tokenizer = model.tokenizer
        func text(_ id: Int32?) -> ConfigNode {
            id.flatMap { tokenizer.token(for: $0) }.map { ConfigNode($0) } ?? .null
        }
        responder.respond(
            .json([
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": text(tokenizer.bosID), "eos_token": text(tokenizer.eosID),
                "pad_token": text(tokenizer.padID),
                "vocab_size": ConfigNode(tokenizer.vocabularySize),
                "model_max_length": ConfigNode(model.maxLength),
                "chat_template": .null,
            ]))
    }
}
