// SPDX-License-Identifier: Apache-2.0
// Vectors of texts.
import EftConfig
import EftGeneration

/// `POST /v1/embeddings`: the mean or the last of a text's states, scaled to length 1.
struct EmbeddingsRoute: ModelServingRoute {
    let methods = ["POST"]
    let path = "/v1/embeddings"
    let model: ServedModel

    func handle(_ request: Request, _ responder: Responder) throws {
        let fields = try RequestFields(request.json())
        let named = try model.named(fields)
        let prompts = try CompletionRequest.prompts(fields, model, key: "input")
        let pooling = try pooling(fields)
        let isEncoded = try isEncoded(fields)
        let dimensions = try fields.int("dimensions")
        if let dimensions, dimensions < 1 {
            throw fields.failure("dimensions", "must be at least 1")
        }
        let placement = RequestPlacement(
            named, salt: try fields.cacheSalt(model.options.limits))
        let count = prompts.reduce(0) { $0 + $1.count }
        let answer = EmbeddingAnswer(prompts, model, responder, dimensions: dimensions) { vectors in
            EmbeddingsRoute.node(
                vectors, named.name, tokens: count, isEncoded: isEncoded)
        }
        for prompt in prompts {
            guard !prompt.isEmpty, prompt.count <= model.maxLength else {
                throw fields.failure(
                    "input",
                    "has a text of \(prompt.count) tokens; 1 to \(model.maxLength) can be read")
            }
        }
        try model.submit(answer.requests(placement, pooling), responder)
    }

    private static func node(
        _ vectors: [[Float]], _ name: String, tokens: Int, isEncoded: Bool
    ) -> ConfigNode {
        let data = vectors.enumerated().map { place, vector -> ConfigNode in
            [
                "object": "embedding", "index": ConfigNode(place),
                "embedding": isEncoded
                    ? ConfigNode(Base64.text(vector.flatMap { littleEndian($0) }))
                    : ConfigNode(vector.map { Double($0) }),
            ]
        }
        return [
            "id": ConfigNode(AnswerHead(prefix: "embd-", object: "list", model: name).id),
            "object": "list", "created": ConfigNode(UnixTime.seconds),
            "model": ConfigNode(name), "data": ConfigNode(data),
            "usage": Usage(prompt: tokens, cached: nil).node,
        ]
    }

    private static func littleEndian(_ value: Float) -> [UInt8] {
        withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
    }

    private func pooling(_ fields: RequestFields) throws(HTTPFailure) -> Pooling {
        guard let word = try fields.string("pooling") else { return .mean }
        guard let pooling = Pooling(rawValue: word) else {
            throw fields.failure("pooling", "must be mean or last, not '\(excerpt(word))'")
        }
        return pooling
    }

    private func isEncoded(_ fields: RequestFields) throws(HTTPFailure) -> Bool {
        switch try fields.string("encoding_format") ?? "float" {
        case "float": return false
        case "base64": return true
        case let other:
            throw fields.failure(
                "encoding_format", "must be float or base64, not '\(excerpt(other))'")
        }
    }
}
