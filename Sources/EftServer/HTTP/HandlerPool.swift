// SPDX-License-Identifier: Apache-2.0
// The threads on which handlers run, so that the thread of the sockets never waits for one.
import EftTensor

/// A few threads that run jobs in order. Jobs are as many as there are requests, and these as connections, at most.
final class HandlerPool: Sendable {
    private struct State {
        var jobs: [@Sendable () -> Void] = []
        var isClosed = false
    }

    private let queue: Monitor<State>
    private let threads: [WorkerThread]

    init(threads count: Int) throws {
        let queue = Monitor(State())
        self.queue = queue
        threads = try (0..<max(count, 1)).map { _ in
            try WorkerThread { HandlerPool.run(queue) }
        }
    }

    func submit(_ job: @escaping @Sendable () -> Void) { queue.withLock { $0.jobs.append(job) } }

    /// Runs what is queued, and ends the threads.
    func close() {
        queue.withLock { $0.isClosed = true }
        for thread in threads { thread.join() }
    }

    private static func run(_ queue: Monitor<State>) {
        while true {
            let job = queue.wait { (state) -> (@Sendable () -> Void)?? in
                if !state.jobs.isEmpty { return .some(state.jobs.removeFirst()) }
                return state.isClosed ? .some(nil) : nil
            }
            guard let job else { return }
            job()
        }
    }
}
