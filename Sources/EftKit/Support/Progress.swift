// SPDX-License-Identifier: Apache-2.0
// How far long work is.
import EftConversion

/// How far a piece of work is.
public struct WorkProgress: Sendable, Hashable {
    /// What is worked on, such as a tensor's name, or "loading layer".
    public let item: String
    /// Units that are done: layers, bytes or weights, depending on the work.
    public let done: Int
    /// All units.
    public let total: Int

    /// The share that is done, from 0 to 1.
    public var fraction: Double { total > 0 ? Double(done) / Double(total) : 1 }

    init(_ item: String, _ done: Int, _ total: Int) {
        self.item = item
        self.done = done
        self.total = total
    }
}

/// Receives progress, on the thread that does the work.
public typealias ProgressHandler = @Sendable (WorkProgress) -> Void

extension ConversionMonitor {
    /// Reports to a handler, and stops when a flag is raised.
    init(_ flag: StopFlag, _ progress: ProgressHandler?) {
        self.init(
            checkInterrupt: {
                guard !flag.isRaised else {
                    throw EftError(
                        .cancelled, "canceled; the same call goes on where this one stopped")
                }
            },
            report: { progress?(WorkProgress($0.item, $0.done, $0.total)) })
    }
}
