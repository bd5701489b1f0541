// SPDX-License-Identifier: Apache-2.0
// A thread that does something ten times a second until it is stopped.

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Calls a closure every tenth of a second, on a thread of its own.
final class Ticker {
    /// What the thread needs.
    private final class Job: Sendable {
        let body: @Sendable (Int) -> Void
        let descriptor: Int32

        init(_ descriptor: Int32, _ body: @escaping @Sendable (Int) -> Void) {
            self.descriptor = descriptor
            self.body = body
        }

        func run() {
            var count = 0
            var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            // The other end is closed when it is time to stop; a signal ends the wait early, too.
            while poll(&wait, 1, 100) <= 0 {
                body(count)
                count += 1
            }
        }
    }

    private let thread: pthread_t
    private let ends: (read: Int32, write: Int32)

    /// Starts the thread; nil where the system has none to give: then nothing ticks.
    init?(_ body: @escaping @Sendable (Int) -> Void) {
        var pair: [Int32] = [-1, -1]
        guard pipe(&pair) == 0 else { return nil }
        for end in pair { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        ends = (pair[0], pair[1])
        let job = Unmanaged.passRetained(Job(pair[0], body))
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<Job>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, job.toOpaque())
        self.thread = thread
        guard status == 0 else {
            job.release()
            close(pair[0])
            close(pair[1])
            return nil
        }
    }

    /// Ends the thread, and waits until its last call has returned.
    func stop() {
        close(ends.write)
        pthread_join(thread, nil)
        close(ends.read)
    }
}
