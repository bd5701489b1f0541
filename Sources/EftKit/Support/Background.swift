// SPDX-License-Identifier: Apache-2.0
// Long work on threads of its own, so that Swift's cooperative threads stay free.
import EftTensor
import Synchronization

/// A request to stop that any thread may make.
final class StopFlag: Sendable {
    private let flag = Atomic<Bool>(false)

    /// Whether the work is to stop.
    var isRaised: Bool { flag.load(ordering: .relaxed) }

    /// Asks the work to stop.
    func raise() { flag.store(true, ordering: .relaxed) }
}

/// Runs blocking work for callers that wait with `await`.
enum Background {
    /// Runs `body` on a new thread and waits for it.
    ///
    /// When the caller's task is canceled, the flag that `body` gets is raised.
    /// - Throws: `EftError`.
    static func run<Value: Sendable>(
        _ body: @escaping @Sendable (StopFlag) throws -> Value
    ) async throws(EftError) -> Value {
        let flag = StopFlag()
        let result: Result<Value, any Error> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                start {
                    continuation.resume(returning: Result { try body(flag) })
                } onFailure: {
                    continuation.resume(returning: .failure($0))
                }
            }
        } onCancel: {
            flag.raise()
        }
        do { return try result.get() } catch { throw EftError(wrapping: error) }
    }

    /// Runs `body` on a new thread; what it hands over is the stream's content.
    ///
    /// When nobody reads the stream any more, the flag that `body` gets is raised.
    static func stream<Element: Sendable>(
        _ body: @escaping @Sendable (StopFlag, (Element) -> Void) throws -> Void
    ) -> AsyncThrowingStream<Element, any Error> {
        AsyncThrowingStream { continuation in
            let flag = StopFlag()
            continuation.onTermination = { _ in flag.raise() }
            start {
                do {
                    try body(flag) { continuation.yield($0) }
                    continuation.finish()
                } catch {
                    continuation.finish(throwing: EftError(wrapping: error))
                }
            } onFailure: {
                continuation.finish(throwing: EftError(wrapping: $0))
            }
        }
    }

    private static func start(
        _ body: @escaping @Sendable () -> Void, onFailure: (any Error) -> Void
    ) {
        // Nobody joins the thread: what it does last is to hand over its result.
        do { try WorkerThread { body() }.detach() } catch { onFailure(error) }
    }
}
