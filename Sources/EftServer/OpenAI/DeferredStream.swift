// SPDX-License-Identifier: Apache-2.0
// A stream of events that begins with its first event, so that a failure before it still has a status of its own.
import EftConfig
import Synchronization

/// Sends events to a client.
final class DeferredStream: Sendable {
    private let responder: Responder
    private let stream = Mutex<ResponseStream?>(nil)

    init(_ responder: Responder) { self.responder = responder }

    /// Whether the client still listens.
    var isOpen: Bool { stream.withLock { $0?.isOpen } ?? !responder.isCancelled }

    /// Sends an event.
    /// - Returns: false when nobody listens any more.
    @discardableResult
    func send(_ event: ConfigNode) -> Bool { opened().send(event) }

    /// Tells of a failure, with its status when nothing was sent before, and ends.
    func fail(_ failure: HTTPFailure) {
        guard let stream = stream.withLock({ $0 }) else {
            responder.fail(failure)
            return
        }
        stream.send(failure.json)
        stream.sendDone()
    }

    /// Ends, after an event with the use of tokens where it is told.
    func finish(_ head: AnswerHead, usage: Usage?) {
        if let usage { send(ConfigNode(head.node([], usage: usage))) }
        opened().sendDone()
    }

    private func opened() -> ResponseStream {
        stream.withLock { stream in
            if let stream { return stream }
            let new = responder.events()
            stream = new
            return new
        }
    }
}
