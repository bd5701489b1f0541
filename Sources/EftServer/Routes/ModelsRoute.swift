// SPDX-License-Identifier: Apache-2.0
// Which models are served.
import EftConfig

/// `GET /v1/models`: the base under all its names, then the adapters.
struct ModelsRoute: ModelServingRoute {
    let methods = ["GET"]
    let path = "/v1/models"
    let model: ServedModel

    func handle(_ request: Request, _ responder: Responder) {
        responder.respond(.json(["object": "list", "data": ConfigNode(model.cards)]))
    }
}
