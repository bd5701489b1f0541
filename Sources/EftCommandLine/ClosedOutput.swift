// SPDX-License-Identifier: Apache-2.0
// Standard output that nobody reads any more ends the work that was done for it.

import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Whether the reader of standard output has gone. Written by a watching thread, hence a lone atomic.
private let hasClosed = Atomic<Bool>(false)
/// Whether that is to end the program.
private let endsProgram = Atomic<Bool>(false)

/// The end of a program whose output is no longer read, as in `eft run ... | head`.
///
/// Once the reader has gone nothing more is printed, loops that look at `InterruptFlag` come to their end, and
/// the process ends as SIGPIPE would have ended it. The signal itself is ignored, since servers and
/// clients must survive a connection that breaks.
package enum ClosedOutput {
    /// How long loops have to come to their end by themselves, and to remove their temporary files.
    private static let grace: UInt32 = 3

    /// Ends the program when standard output is not read any more.
    ///
    /// For work whose result is what it prints; not for work that saves its results.
    /// - Parameter watching: whether to find out as soon as the reader goes, not only at the next write.
    package static func endsWork(watching: Bool = true) {
        endsProgram.store(true, ordering: .relaxed)
        var status = stat()
        guard watching, fstat(STDOUT_FILENO, &status) == 0 else { return }
        let kind = status.st_mode & S_IFMT
        guard kind == S_IFIFO || kind == S_IFSOCK else { return }
        var thread = pthread_t()
        let state = pthread_create(
            &thread, nil,
            { _ in
                ClosedOutput.watch()
                return nil
            }, nil)
        if state == 0 { pthread_detach(thread) }
    }

    /// Whether nobody reads standard output any more, and that is to end the program.
    package static var isClosed: Bool { hasClosed.load(ordering: .relaxed) }

    /// Notes that a write has found no reader.
    static func note() {
        guard endsProgram.load(ordering: .relaxed) else { return }
        hasClosed.store(true, ordering: .relaxed)
        InterruptFlag.raise()
    }

    private static func watch() {
        // Without a requested event, poll waits for errors alone: that the last reader closes its end.
        var output = pollfd(fd: STDOUT_FILENO, events: 0, revents: 0)
        while poll(&output, 1, -1) <= 0 { guard errno == EINTR else { return } }
        note()
        sleep(grace)
        end()
    }

    /// Ends the process as SIGPIPE does: without a word, with status 141 in a shell.
    package static func end() -> Never {
        signal(SIGPIPE, SIG_DFL)
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGPIPE)
        pthread_sigmask(SIG_UNBLOCK, &set, nil)
        raise(SIGPIPE)
        _exit(128 + SIGPIPE)
    }
}
