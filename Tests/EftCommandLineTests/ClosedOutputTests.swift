// SPDX-License-Identifier: Apache-2.0
// Output whose reader goes away, each in a process of its own.

import EftCommandLine
import Testing

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Makes standard output a pipe; returns its reading end.
private func makeOutputAPipe() -> Int32 {
    signal(SIGPIPE, SIG_IGN)
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0, dup2(ends[1], STDOUT_FILENO) == STDOUT_FILENO else { exit(90) }
    close(ends[1])
    return ends[0]
}

private func wait(until isDone: () -> Bool) {
    for _ in 0..<5000 where !isDone() { usleep(1000) }
}

struct ClosedOutputTests {
    @Test func `a reader that goes stops the work before the next write`() async {
        await #expect(processExitsWith: .signal(SIGPIPE)) {
            let reader = makeOutputAPipe()
            InterruptFlag.install()
            ClosedOutput.endsWork()
            usleep(20_000)
            guard !InterruptFlag.isRaised, !ClosedOutput.isClosed else { exit(1) }
            close(reader)
            wait { InterruptFlag.isRaised }
            guard ClosedOutput.isClosed else { exit(2) }
            ClosedOutput.end()
        }
    }

    @Test func `work that looks at no flag is ended too`() async {
        await #expect(processExitsWith: .signal(SIGPIPE)) {
            let reader = makeOutputAPipe()
            ClosedOutput.endsWork()
            close(reader)
            wait { false }
            wait { false }
            exit(0)
        }
    }

    @Test func `a write that finds no reader is the end of short output`() async {
        await #expect(processExitsWith: .exitCode(7)) {
            close(makeOutputAPipe())
            ClosedOutput.endsWork(watching: false)
            TerminalOutput.standardOutput.writeLine("nobody reads this")
            exit(ClosedOutput.isClosed ? 7 : 1)
        }
    }

    @Test func `work that saves its results goes on`() async {
        await #expect(processExitsWith: .exitCode(7)) {
            close(makeOutputAPipe())
            TerminalOutput.standardOutput.writeLine("nobody reads this")
            usleep(20_000)
            exit(ClosedOutput.isClosed || InterruptFlag.isRaised ? 1 : 7)
        }
    }

    @Test func `what is closed is nothing but pipes`() async {
        await #expect(processExitsWith: .exitCode(7)) {
            let file = open("/dev/null", O_WRONLY)
            guard dup2(file, STDOUT_FILENO) == STDOUT_FILENO else { exit(90) }
            ClosedOutput.endsWork()
            usleep(20_000)
            exit(ClosedOutput.isClosed ? 1 : 7)
        }
    }
}
