// SPDX-License-Identifier: Apache-2.0
// How a handler answers: at once, later, or in pieces.

/// The right to answer one request, once, from any thread.
///
/// A responder that goes away unused answers 500, so that no client waits for nothing.
package final class Responder: Sendable {
    private let channel: ResponseChannel
    /// The form of errors that the client reads.
    private let form: ErrorForm

    /// What the request's text takes.
    var tally: RequestTally { channel.tally }

    init(_ channel: ResponseChannel, _ form: ErrorForm = .openAI) {
        self.channel = channel
        self.form = form
    }

    deinit { fail(.internalError("the server ended the request without an answer")) }

    /// Answers.
    /// - Returns: false, with nothing done, when there is an answer already or the client has left.
    @discardableResult
    package func respond(_ response: Response) -> Bool { channel.respond(response) }

    /// Answers with a failure.
    /// - Returns: as `respond`.
    @discardableResult
    package func fail(_ failure: HTTPFailure) -> Bool { channel.respond(failure.response(form)) }

    /// Begins an answer in pieces. When the client has left, the stream is closed from the start.
    package func stream(status: Int = 200, fields: HeaderFields) -> ResponseStream {
        _ = channel.begin(status: status, fields: fields)
        return ResponseStream(channel)
    }

    /// Registers what is called, once and on any thread, when the client leaves before it has been answered, or before
    /// its stream was finished: for reasons of its own, or because it reads too slowly, or because the server stops.
    ///
    /// The action must not wait for anything. It is called at once when the client has left already.
    package func onCancel(_ action: @escaping @Sendable () -> Void) { channel.onCancel(action) }

    /// Whether the client has left.
    package var isCancelled: Bool { channel.isCancelled }
}

/// An answer in pieces, written from any thread; nothing here ever waits for the client.
///
/// Up to a limit the pieces wait for a client that reads slowly; past it the stream is broken off. A stream that goes away
/// unfinished is broken off too, so that the client does not take it for whole.
package final class ResponseStream: Sendable {
    private let channel: ResponseChannel

    init(_ channel: ResponseChannel) { self.channel = channel }

    deinit { channel.breakOff() }

    /// Adds a piece.
    /// - Returns: false when the stream is over and the work for it can stop.
    @discardableResult
    package func write(_ bytes: some Collection<UInt8>) -> Bool { channel.write(bytes) }

    /// Ends the stream. Later calls do nothing.
    package func finish() { channel.finish() }

    /// As `Responder.onCancel`.
    package func onCancel(_ action: @escaping @Sendable () -> Void) { channel.onCancel(action) }

    /// Whether more can be written.
    package var isOpen: Bool { channel.isStreaming }
}
