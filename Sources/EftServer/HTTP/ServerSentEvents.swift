// SPDX-License-Identifier: Apache-2.0
// Streams of events, as OpenAI's clients read them.
import EftConfig

extension Responder {
    /// Begins a stream of events.
    package func events() -> ResponseStream {
        stream(fields: [
            "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache",
            // Proxies would else collect the events.
            "X-Accel-Buffering": "no",
        ])
    }
}

extension ResponseStream {
    /// Sends an event of JSON.
    /// - Returns: as `write`.
    @discardableResult
    package func send(_ event: ConfigNode) -> Bool {
        var bytes = Array("data: ".utf8)
        bytes += JSONWriter.bytes(event, layout: .minimal)
        bytes += [UInt8(ascii: "\n"), UInt8(ascii: "\n")]
        return write(bytes)
    }

    /// Sends the event that clients take for the end, and finishes.
    package func sendDone() {
        write("data: [DONE]\n\n".utf8)
        finish()
    }
}
