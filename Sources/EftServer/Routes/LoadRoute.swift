// SPDX-License-Identifier: Apache-2.0
// How much there is to do, for those that divide work among servers.
import EftConfig

/// `GET /load`: `{"server_load": <requests for the model under way>}`.
struct LoadRoute: RegisteredRoute {
    let methods = ["GET"]
    let path = "/load"
    let isCounted = false
    private let load: @Sendable () -> Int

    init(_ context: ServerContext) { load = context.load }

    func handle(_ request: Request, _ responder: Responder) {
        responder.respond(.json(["server_load": ConfigNode(load())]))
    }
}
