// SPDX-License-Identifier: Apache-2.0
// A line for each request: JSON for programs, words for people.
import EftConfig
import EftTensor
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Writes what was asked and what it came to. A thread of its own writes, so that no request waits for a disk; lines that
/// cannot be written are counted and forgotten.
package final class AccessLog: Sendable {
    /// Where lines go.
    package enum Target: Sendable, Hashable {
        case standardError
        /// Appended to; made if it is not there.
        case file(String)
    }

    /// How lines look.
    package enum Format: Sendable, Hashable {
        /// An object of JSON, with times to the microsecond.
        case json
        /// Words for people.
        case text
    }

    private let format: Format
    private let writer: LogWriter
    private let thread: WorkerThread

    /// Opens a log.
    /// - Throws: `ServerError` when the file cannot be opened.
    package init(_ target: Target, format: Format = .json) throws {
        self.format = format
        let writer = try LogWriter(target)
        self.writer = writer
        thread = try WorkerThread { writer.run() }
    }

    deinit {
        writer.close()
        thread.join()
    }

    /// Lines that could not be written.
    package var lostLines: Int { writer.lostLines.load(ordering: .relaxed) }

    /// Waits until all lines so far are written or lost.
    package func settle() { writer.settle() }

    /// Adds the line of a call.
    func write(_ call: Call, _ outcome: CallOutcome, seconds: Double) {
        let line = AccessLine(call, outcome, seconds: seconds)
        let bytes =
            switch format {
            case .json: JSONWriter.bytes(line.node, layout: .minimal)
            case .text: Array(line.text.utf8)
            }
        writer.add(bytes + [UInt8(ascii: "\n")])
    }
}

/// The part that the thread shares.
private final class LogWriter: Sendable {
    private struct State {
        var lines: [[UInt8]] = []
        var isWriting = false
        var isClosed = false
    }

    /// The most lines that wait for the disk.
    private static let lineLimit = 4096

    let lostLines = Atomic<Int>(0)
    private let monitor = Monitor(State())
    private let descriptor: Int32
    private let ownsDescriptor: Bool

    init(_ target: AccessLog.Target) throws(ServerError) {
        switch target {
        case .standardError: (descriptor, ownsDescriptor) = (STDERR_FILENO, false)
        case .file(let path):
            descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
            ownsDescriptor = true
            guard descriptor >= 0 else {
                throw ServerError(
                    .accessLog,
                    "cannot open the access log \(path): \(String(cString: strerror(errno)))")
            }
        }
    }

    deinit { if ownsDescriptor { Glibc.close(descriptor) } }

    func add(_ line: [UInt8]) {
        let isTaken = monitor.withLock { state in
            guard state.lines.count < LogWriter.lineLimit else { return false }
            state.lines.append(line)
            return true
        }
        if !isTaken { lostLines.add(1, ordering: .relaxed) }
    }

    func close() { monitor.withLock { $0.isClosed = true } }

    func settle() { monitor.wait { $0.lines.isEmpty && !$0.isWriting ? () : nil } }

    func run() {
        while true {
            let lines = monitor.wait { (state) -> [[UInt8]]? in
                guard !state.lines.isEmpty || state.isClosed else { return nil }
                defer { state.lines = [] }
                state.isWriting = !state.lines.isEmpty
                return state.lines
            }
            guard !lines.isEmpty else { return }
            if !write(lines.flatMap { $0 }) { lostLines.add(lines.count, ordering: .relaxed) }
            monitor.withLock { $0.isWriting = false }
        }
    }

    private func write(_ bytes: [UInt8]) -> Bool {
        var start = 0
        while start < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                Glibc.write(descriptor, buffer.baseAddress.map { $0 + start }, bytes.count - start)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            start += count
        }
        return true
    }
}

/// Points in time for people.
enum Timestamp {
    /// Now, in universal time to the millisecond, such as `2026-01-31T09:00:00.250Z`.
    static var now: String {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        var parts = tm()
        guard gmtime_r(&time.tv_sec, &parts) != nil else { return "" }
        let date = [Int(parts.tm_year) + 1900, Int(parts.tm_mon) + 1, Int(parts.tm_mday)]
        let clock = [Int(parts.tm_hour), Int(parts.tm_min), Int(parts.tm_sec)]
        let milliseconds = padded(time.tv_nsec / 1_000_000, to: 3)
        return date.map { padded($0, to: 2) }.joined(separator: "-") + "T"
            + clock.map { padded($0, to: 2) }.joined(separator: ":") + ".\(milliseconds)Z"
    }

    private static func padded(_ number: Int, to count: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, count - digits.count)) + digits
    }
}
