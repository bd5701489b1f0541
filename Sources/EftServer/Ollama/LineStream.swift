// SPDX-License-Identifier: Apache-2.0
// A stream of lines of JSON that begins with its first line, so that a failure before it still has a status of its own.
import EftConfig
import Synchronization

/// Sends lines of JSON to a client.
final class LineStream: Sendable {
    private let responder: Responder
    private let form: ErrorForm
    private let stream = Mutex<ResponseStream?>(nil)

    /// - Parameter form: the form of a failure amid the stream.
    init(_ responder: Responder, _ form: ErrorForm) {
        self.responder = responder
        self.form = form
    }

    /// Whether the client still listens.
    var isOpen: Bool { stream.withLock { $0?.isOpen } ?? !responder.isCancelled }

    /// Sends a line.
    /// - Returns: false when nobody listens any more.
    @discardableResult
    func send(_ node: ConfigNode) -> Bool {
        opened().write(JSONWriter.bytes(node, layout: .minimal) + [UInt8(ascii: "\n")])
    }

    /// Sends a failure, with its status when nothing was sent before, and ends.
    func fail(_ failure: HTTPFailure) {
        guard let stream = stream.withLock({ $0 }) else {
            responder.fail(failure)
            return
        }
        send(failure.json(form))
        stream.finish()
    }

    /// Ends.
    func finish() { opened().finish() }

    private func opened() -> ResponseStream {
        stream.withLock { stream in
            if let stream { return stream }
            let new = responder.stream(fields: [
                "Content-Type": "application/x-ndjson", "Cache-Control": "no-cache",
                // Proxies would else collect the lines.
                "X-Accel-Buffering": "no",
            ])
            stream = new
            return new
        }
    }
}
