// SPDX-License-Identifier: Apache-2.0
// Ctrl-C asks long work to save and stop; a second one stops at once.

import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Signals to stop that have arrived. Written by a signal handler, hence a lone atomic.
private let signalCount = Atomic<Int>(0)

/// Whether the user, or the system, has asked the program to stop.
package enum InterruptFlag {
    /// Catches SIGINT and SIGTERM from now on.
    ///
    /// The first raises the flag, the second ends the process with status 130. Interrupted system
    /// calls are resumed, so that no reader or writer elsewhere has to expect it.
    package static func install() {
        // Touched here so that no handler is the first to do so.
        signalCount.store(0, ordering: .relaxed)
        var action = sigaction()
        let handler: @convention(c) (Int32) -> Void = { _ in
            let earlier = signalCount.add(1, ordering: .relaxed).oldValue
            if earlier > 0 { _exit(ExitStatus.interrupted.rawValue) }
        }
        #if canImport(Glibc)
            action.__sigaction_handler.sa_handler = handler
        #else
            action.__sigaction_u.__sa_handler = handler
        #endif
        action.sa_flags = Int32(SA_RESTART)
        sigemptyset(&action.sa_mask)
        sigaction(SIGINT, &action, nil)
        sigaction(SIGTERM, &action, nil)
        // A program that is started by a thread with blocked signals has them blocked too.
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGINT)
        sigaddset(&signals, SIGTERM)
        pthread_sigmask(SIG_UNBLOCK, &signals, nil)
    }

    /// Raises the flag, as a first signal would.
    static func raise() { signalCount.add(1, ordering: .relaxed) }

    /// Whether a signal to stop has arrived; cheap enough for every step of a loop.
    package static var isRaised: Bool { signalCount.load(ordering: .relaxed) > 0 }
}
