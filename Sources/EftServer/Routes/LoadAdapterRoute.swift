// SPDX-License-Identifier: Apache-2.0
// Loading adapters while the server runs.
import EftConfig

/// `POST /v1/load_lora_adapter`; there is no such route unless a folder of adapters was opened.
struct LoadAdapterRoute: ModelServingRoute {
    let methods = ["POST"]
    let path = "/v1/load_lora_adapter"
    let model: ServedModel

    init?(model: ServedModel) {
        guard model.adapters.isOpen else { return nil }
        self.model = model
    }

    func handle(_ request: Request, _ responder: Responder) throws {
        let fields = try RequestFields(request.json())
        guard let name = try fields.string("lora_name"), let path = try fields.string("lora_path")
        else {
            throw HTTPFailure(
                400, type: "InvalidUserInput", "Both 'lora_name' and 'lora_path' must be provided.")
        }
        try model.adapters.loadRequested(
            name, path: path, replacing: try fields.bool("load_inplace") ?? false)
        responder.respond(
            .text("Success: LoRA adapter '\(excerpt(name, limit: 256))' added successfully."))
    }
}
