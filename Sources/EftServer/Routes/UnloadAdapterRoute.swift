// SPDX-License-Identifier: Apache-2.0
// Unloading adapters while the server runs.
import EftConfig

/// `POST /v1/unload_lora_adapter`; there is no such route unless a folder of adapters was opened.
struct UnloadAdapterRoute: ModelServingRoute {
    let methods = ["POST"]
    let path = "/v1/unload_lora_adapter"
    let model: ServedModel

    init?(model: ServedModel) {
        guard model.adapters.isOpen else { return nil }
        self.model = model
    }

    func handle(_ request: Request, _ responder: Responder) throws {
        let fields = try RequestFields(request.json())
        guard let name = try fields.string("lora_name") else {
            throw HTTPFailure(400, type: "InvalidUserInput", "'lora_name' must be provided.")
        }
        try model.adapters.unload(name)
        responder.respond(
            .text("Success: LoRA adapter '\(excerpt(name, limit: 256))' removed successfully."))
    }
}
