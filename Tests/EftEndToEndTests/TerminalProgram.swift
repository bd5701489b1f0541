// SPDX-License-Identifier: Apache-2.0
// The program on a terminal of its own.
import Foundation
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// A run of the program that believes to talk to a person.
final class TerminalProgram {
    private let process = Program.process(Program.path, [])
    private let terminal: FileHandle
    private let screen = Screen()

    /// What was shown.
    private final class Screen: Sendable {
        let bytes = Mutex([UInt8]())
    }

    struct Silence: Error, CustomStringConvertible { let description: String }

    init(_ arguments: [String]) throws {
        // The C library's functions for it are not among those that Swift sees: TIOCSPTLCK and TIOCGPTN.
        let master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        var (isLocked, number): (Int32, Int32) = (0, 0)
        guard master >= 0, ioctl(master, 0x4004_5431, &isLocked) == 0,
            ioctl(master, 0x8004_5430, &number) == 0,
            let slave = FileHandle(forUpdatingAtPath: "/dev/pts/\(number)")
        else { throw Silence(description: "there are no terminals here") }
        terminal = FileHandle(fileDescriptor: master, closeOnDealloc: true)
        var size = winsize(ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0)
        _ = ioctl(master, UInt(TIOCSWINSZ), &size)
        process.arguments = arguments
        process.environment = ["TERM": "xterm", "HOME": "/nonexistent", "PATH": "/usr/bin:/bin"]
        process.standardInput = slave
        process.standardOutput = slave
        process.standardError = slave
        try process.run()
        try slave.close()
        terminal.readabilityHandler = { [screen] handle in
            // Once the program has ended, reading from its terminal is an error.
            var part = [UInt8](repeating: 0, count: 4096)
            let count = read(handle.fileDescriptor, &part, part.count)
            guard count > 0 else { return handle.readabilityHandler = nil }
            screen.bytes.withLock { $0 += part[..<count] }
        }
    }

    deinit {
        terminal.readabilityHandler = nil
        if process.isRunning { process.terminate() }
    }

    /// What was shown so far, without escape sequences and carriage returns.
    var text: String {
        let raw = screen.bytes.withLock { String(decoding: $0, as: UTF8.self) }
        // Scalar by scalar: to Swift, "\r\n" is one character.
        let lines = String(String.UnicodeScalarView(raw.unicodeScalars.filter { $0 != "\r" }))
        return lines.replacing(/\u{1B}\[[0-9;?]*[A-Za-z]/, with: "")
    }

    func type(_ text: String) { terminal.write(Data(text.utf8)) }

    func interrupt() { kill(process.processIdentifier, SIGINT) }

    /// Waits until something is shown.
    func wait(for words: String) throws { try wait { $0.contains(words) } }

    func wait(until isThere: (String) -> Bool) throws {
        let end = ContinuousClock.now + .seconds(60)
        while !isThere(text) {
            guard ContinuousClock.now < end else {
                throw Silence(description: "only shown: \(text)")
            }
            usleep(2000)
        }
    }

    /// The exit status, once the program has ended; -1 when it does not.
    func status() -> Int32 {
        let end = ContinuousClock.now + .seconds(60)
        while process.isRunning {
            guard ContinuousClock.now < end else { return -1 }
            usleep(2000)
        }
        return process.terminationStatus
    }
}
