// SPDX-License-Identifier: Apache-2.0
// Signals, each in a process of its own.

import EftCommandLine
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Sends a signal to the process and waits until `isDone`, at most five seconds.
///
/// Not `raise`, which sends it to the calling thread: a pool's threads may hold signals back.
private func send(_ signal: Int32, isDone: () -> Bool) {
    kill(getpid(), signal)
    for _ in 0..<5000 where !isDone() { usleep(1000) }
}

struct InterruptFlagTests {
    @Test func `one signal raises the flag and the process goes on`() async {
        await #expect(processExitsWith: .exitCode(7)) {
            InterruptFlag.install()
            guard !InterruptFlag.isRaised else { exit(1) }
            send(SIGINT) { InterruptFlag.isRaised }
            exit(InterruptFlag.isRaised ? 7 : 2)
        }
    }

    @Test func `the second ends the process with its status`() async {
        await #expect(processExitsWith: .exitCode(130)) {
            InterruptFlag.install()
            send(SIGTERM) { InterruptFlag.isRaised }
            send(SIGINT) { false }
            exit(0)
        }
    }
}
