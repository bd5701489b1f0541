// SPDX-License-Identifier: Apache-2.0
// One of the models that are served.
import EftConfig

/// `GET /v1/models/{id}`; ids may hold slashes.
struct ModelRoute: ModelServingRoute {
    let methods = ["GET"]
    let path = "/v1/models/{id*}"
    let model: ServedModel

    func handle(_ request: Request, _ responder: Responder) throws {
        let id = request.captures["id"] ?? ""
        let card = model.cards.first { card in
            guard case .object(let object) = card.value else { return false }
            return object["id"] == ConfigNode(id)
        }
        guard let card else {
            throw HTTPFailure.notFound(
                "The model `\(excerpt(id, limit: 100))` does not exist.", parameter: "model")
        }
        responder.respond(.json(card))
    }
}
