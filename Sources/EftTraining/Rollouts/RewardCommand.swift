// SPDX-License-Identifier: Apache-2.0
// Rewards from a program of the user's.
import EftConfig

#if canImport(Glibc)
    import Glibc
#endif

/// A shell command that is started once and rewards completions: a JSON object for each goes to its standard input, a line
/// each, and it answers each by a line with a number, or `null` where it cannot judge. What it writes to standard error
/// is shown.
final class RewardCommand: RewardSource {
    private let command: String
    private let timeout: Int
    private let process: pid_t
    /// The command's standard input.
    private let input: Int32
    /// The command's standard output.
    private let output: Int32
    /// What was read and is no whole line yet.
    private var rest: [UInt8] = []
    private var hasEnded = false

    /// Starts a command.
    /// - Parameter timeout: seconds that it may take for the completions of a step.
    /// - Throws: `TrainingError` (`reward`) when it cannot be started.
    init(_ command: String, timeout: Int) throws {
        self.command = command
        self.timeout = timeout
        let inputs = try Self.connected(command)
        let outputs: (own: Int32, other: Int32)
        do { outputs = try Self.connected(command) } catch {
            for end in [inputs.own, inputs.other] { _ = close(end) }
            throw error
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, inputs.other, 0)
        posix_spawn_file_actions_adddup2(&actions, outputs.other, 1)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // A group of its own: what the command starts ends with it, and Ctrl-C is this program's to answer.
        var defaults = sigset_t()
        sigemptyset(&defaults)
        sigaddset(&defaults, SIGPIPE)
        posix_spawnattr_setsigdefault(&attributes, &defaults)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF))
        var child: pid_t = 0
        let status = ["/bin/sh", "-c", command].withCStrings { arguments in
            posix_spawn(&child, "/bin/sh", &actions, &attributes, arguments, environ)
        }
        for end in [inputs.other, outputs.other] { _ = close(end) }
        guard status == 0 else {
            for end in [inputs.own, outputs.own] { _ = close(end) }
            errno = status
            throw Self.failure(command)
        }
        (process, input, output) = (child, inputs.own, outputs.own)
    }

    /// Two connected sockets: writing to a pipe whose reader has gone would end the program.
    private static func connected(_ command: String) throws -> (own: Int32, other: Int32) {
        var ends = [Int32](repeating: -1, count: 2)
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw failure(command) }
        return (ends[0], ends[1])
    }

    deinit {
        _ = close(input)
        _ = close(output)
        guard !hasEnded else { return }
        // A command that reads to the end of its input ends by itself; others are told to.
        kill(-process, SIGTERM)
        var status: Int32 = 0
        for _ in 0..<20 {
            if waitpid(process, &status, WNOHANG) != 0 { return }
            usleep(10_000)
        }
        kill(-process, SIGKILL)
        waitpid(process, &status, 0)
    }

    private static func failure(_ command: String) -> TrainingError {
        TrainingError(
            .reward,
            "the reward command '\(excerpt(command))' cannot be started: "
                + String(cString: strerror(errno)))
    }

    // MARK: Asking

    func rewards(_ lines: [String], pause: () throws -> Void) throws -> [Double?] {
        let bytes = lines.flatMap { Array($0.utf8) + [UInt8(ascii: "\n")] }
        let end = ContinuousClock.now + .seconds(timeout)
        var (sent, rewards) = (0, [Double?]())
        while rewards.count < lines.count {
            try pause()
            guard ContinuousClock.now < end else {
                throw TrainingError(
                    .reward,
                    "the reward command '\(excerpt(command))' gave \(rewards.count) of \(lines.count) rewards in "
                        + "\(timeout) seconds; see that it writes each line at once (flush), or raise "
                        + "trl.reward_timeout")
            }
            let ready = wait(writes: sent < bytes.count)
            if ready.writes { sent += try send(bytes[sent...], answered: rewards.count, of: lines) }
            if ready.reads { try read(answered: rewards.count, of: lines) }
            while rewards.count < lines.count, let line = nextLine() {
                rewards.append(try reward(line))
            }
        }
        guard rest.isEmpty else {
            throw TrainingError(
                .reward,
                "the reward command '\(excerpt(command))' writes more than a line for each completion"
            )
        }
        return rewards
    }

    /// Waits a moment until the command reads or writes.
    private func wait(writes: Bool) -> (reads: Bool, writes: Bool) {
        var events = [
            pollfd(fd: output, events: Int16(POLLIN), revents: 0),
            pollfd(fd: writes ? input : -1, events: Int16(POLLOUT), revents: 0),
        ]
        guard poll(&events, nfds_t(events.count), 200) > 0 else { return (false, false) }
        return (events[0].revents != 0, events[1].revents != 0)
    }

    private func send(
        _ bytes: ArraySlice<UInt8>, answered: Int, of lines: [String]
    ) throws -> Int {
        let count = bytes.withUnsafeBytes {
            Glibc.send(input, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
        }
        if count >= 0 { return count }
        guard errno == EAGAIN || errno == EINTR else { throw ended(answered, lines.count) }
        return 0
    }

    private func read(answered: Int, of lines: [String]) throws {
        var buffer = [UInt8](repeating: 0, count: 1 << 14)
        let count = buffer.withUnsafeMutableBytes { Glibc.read(output, $0.baseAddress, $0.count) }
        if count > 0 {
            rest += buffer[..<count]
        } else if count == 0 || errno != EINTR {
            // Its last answers may stand there still.
            let whole = rest.count { $0 == UInt8(ascii: "\n") }
            guard answered + whole >= lines.count else {
                throw ended(answered + whole, lines.count)
            }
        }
    }

    private func ended(_ answered: Int, _ count: Int) -> TrainingError {
        var status: Int32 = 0
        hasEnded = waitpid(process, &status, 0) == process
        let signal = status & 0x7F
        let how =
            signal == 0 ? "exit status \(status >> 8 & 0xFF)" : "signal \(signal)"
        return TrainingError(
            .reward,
            "the reward command '\(excerpt(command))' ended (\(how)) after \(answered) of \(count) rewards; it is "
                + "to read lines until its input ends")
    }

    /// The next whole line, taken off what was read.
    private func nextLine() -> [UInt8]? {
        guard let end = rest.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
        let line = Array(rest[..<end])
        rest.removeSubrange(...end)
        return line
    }

    /// A number; nil for what says that there is none.
    private func reward(_ line: [UInt8]) throws -> Double? {
        var text = Substring(decoding: line, as: UTF8.self)
        while let last = text.last, last.isWhitespace { text.removeLast() }
        text = text.drop { $0.isWhitespace }
        if ["null", "None", "nan", "NaN"].contains(String(text)) { return nil }
        guard let value = Double(text), value.isFinite else {
            throw TrainingError(
                .reward,
                "the reward command '\(excerpt(command))' answered '\(excerpt(String(text)))', which is no "
                    + "number")
        }
        return value
    }
}

extension [String] {
    /// The texts as C has a list of arguments.
    fileprivate func withCStrings<R>(
        _ body: ([UnsafeMutablePointer<CChar>?]) -> R
    ) -> R {
        let texts = map { strdup($0) }
        defer { texts.forEach { free($0) } }
        return body(texts + [nil])
    }
}
