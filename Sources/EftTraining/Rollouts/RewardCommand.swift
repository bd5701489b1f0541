// SPDX-License-Identifier: Apache-2.0
// Rewards from a program of the user's.
import EftConfig
import EftFormats

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
        let (child, fault) = ChildProcess.start(
            "/bin/sh", ["/bin/sh", "-c", command],
            descriptors: [(inputs.other, 0), (outputs.other, 1)])
        for end in [inputs.other, outputs.other] { _ = close(end) }
        guard fault == 0 else {
            for end in [inputs.own, outputs.own] { _ = close(end) }
            errno = fault
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
