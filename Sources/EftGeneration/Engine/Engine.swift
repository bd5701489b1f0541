// SPDX-License-Identifier: Apache-2.0
// The engine on its own thread.
import EftModels
import EftNN
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// A request that is not let in now: the queue is full, or the engine is stopping.
package struct AdmissionError: Error, Sendable, CustomStringConvertible {
    /// What stands in the way.
    package enum Reason: String, Sendable, CaseIterable {
        case queuedRequests = "queue_requests"
        case queuedTokens = "queue_tokens"
        case stopping
    }

    /// What stands in the way.
    package let reason: Reason
    /// Seconds after which a client may try again.
    package let retryAfter: Int
    package let description: String
}

/// What an engine is doing, as of its last step.
package struct EngineStatus: Sendable {
    /// Sequences that hold pages, and those that wait for them.
    package var running = 0
    package var waiting = 0
    /// Tokens that wait to be read.
    package var waitingTokens = 0
    /// Pages of the cache, those in use, and tokens that stand in these.
    package var pages = 0
    package var usedPages = 0
    package var heldTokens = 0
    /// Bytes of the pages that are in memory, those that only cache included.
    package var residentBytes = 0
    /// Steps made.
    package var steps = 0
    /// Since when the present step is being made; nil between steps.
    package var stepSince: ContinuousClock.Instant?
}

/// A decoder that serves requests of many callers, on a thread of its own.
package final class Engine: Sendable {
    /// The bounds.
    package let configuration: EngineConfiguration
    /// Tokens of the model's vocabulary.
    package let vocabulary: Int
    private let monitor: Monitor<State>
    private let thread: WorkerThread

    /// A ticket for a request that was let in.
    package struct Ticket: Sendable, Hashable {
        fileprivate let number: Int
    }

    private enum Order: Sendable {
        case add(Int, EngineRequest, ContinuousClock.Instant)
        case cancel(Int)
        case perform(@Sendable (EngineCore) -> Void)
    }

    private struct State: Sendable {
        var orders: [Order] = []
        var nextTicket = 0
        var pendingRequests = 0
        var pendingTokens = 0
        var status = EngineStatus()
        var isStopping = false
        var hasEnded = false
    }

    /// Starts the thread over an engine that nobody else uses from now on.
    /// - Throws: `TensorError` when the system has no thread left.
    package init(_ core: sending EngineCore) throws {
        configuration = core.configuration
        vocabulary = core.decoder.description.vocabulary
        var state = State()
        state.status = core.status
        let monitor = Monitor(state)
        self.monitor = monitor
        let loop = Loop(core, monitor)
        thread = try WorkerThread { loop.run() }
    }

    deinit { stop() }

    /// What the engine is doing.
    package var status: EngineStatus { monitor.withLock(\.status) }

    /// Lets a request in; its sink hears of it from the engine's thread, at times before this returns.
    /// - Throws: `GenerationError` for requests that cannot be served, `AdmissionError` when there is no room in the
    ///   queue.
    package func submit(_ request: EngineRequest) throws -> Ticket {
        let request = try EngineCore.settled(request, configuration)
        return try monitor.withLock { state in
            guard !state.isStopping else {
                throw AdmissionError(
                    reason: .stopping, retryAfter: 5, description: "the server is stopping")
            }
            try admit(request, state)
            state.pendingRequests += 1
            state.pendingTokens += request.prompt.count
            state.nextTicket += 1
            state.orders.append(.add(state.nextTicket, request, .now))
            return Ticket(number: state.nextTicket)
        }
    }

    private func admit(_ request: EngineRequest, _ state: State) throws(AdmissionError) {
        let status = state.status
        if let most = configuration.maxQueuedRequests {
            let queued = status.waiting + state.pendingRequests
            let room = max(0, configuration.maxSequences - status.running)
            guard queued < most + room else {
                throw AdmissionError(
                    reason: .queuedRequests, retryAfter: retryAfter(queued),
                    description: "\(queued) requests wait already, the limit is \(most)")
            }
        }
        if let most = configuration.maxQueuedTokens {
            let queued = status.waitingTokens + state.pendingTokens
            guard queued == 0 || queued + request.prompt.count <= most else {
                throw AdmissionError(
                    reason: .queuedTokens, retryAfter: retryAfter(status.waiting),
                    description: "\(queued) tokens wait to be read already, the limit is \(most)")
            }
        }
    }

    /// A second for each batch of those that wait.
    private func retryAfter(_ waiting: Int) -> Int {
        max(1, min(60, waiting / max(1, configuration.maxSequences)))
    }

    /// Ends a request's samples; nothing happens when they have ended.
    package func cancel(_ ticket: Ticket) {
        monitor.withLock { $0.orders.append(.cancel(ticket.number)) }
    }

    /// Does something with the engine between two steps, and waits for it.
    package func perform<R: Sendable>(
        _ body: @escaping @Sendable (EngineCore) throws -> R
    ) throws -> R {
        let answer = Monitor<Result<R, any Error>?>(nil)
        let isTaken = monitor.withLock { state in
            guard !state.hasEnded else { return false }
            state.orders.append(
                .perform { core in
                    let result = Result { try body(core) }
                    answer.withLock { $0 = result }
                })
            return true
        }
        guard isTaken else {
            throw AdmissionError(
                reason: .stopping, retryAfter: 5, description: "the server is stopping")
        }
        return try answer.wait { $0 }.get()
    }

    /// Lets no more requests in; those that are in go on.
    package func close() { monitor.withLock { $0.isStopping = true } }

    /// Ends all requests and the thread.
    package func stop() {
        monitor.withLock { state in
            state.isStopping = true
            state.orders.append(.perform { $0.cancelAll() })
        }
        thread.join()
    }

    // MARK: The thread

    /// What runs on the thread; it alone touches the core, hence unchecked.
    private final class Loop: @unchecked Sendable {
        private let core: EngineCore
        private let monitor: Monitor<State>
        /// Numbers of requests in the core, by ticket and back.
        private var groups: [Int: Int] = [:]
        /// Whether nothing was computed since idle memory was given back the last time.
        private var isSettled = true

        init(_ core: EngineCore, _ monitor: Monitor<State>) {
            self.core = core
            self.monitor = monitor
        }

        func run() {
            while let orders = takeOrders() {
                for order in orders { follow(order) }
                if core.hasWork {
                    core.makeStep()
                    isSettled = false
                }
                if groups.count > 2 * core.groups.count + 64 {
                    groups = groups.filter { core.groups[$0.value] != nil }
                }
            }
        }

        /// New orders; waits when there is nothing to do, and is nil when there never will be. Memory that nobody uses is
        /// given back meanwhile: what the requests left in heap and code after the first look, pages when their time has come.
        private func takeOrders() -> [Order]? {
            while true {
                core.giveBackMemory()
                guard !core.hasWork, core.holdsIdleMemory || !isSettled else {
                    return waitForOrders()
                }
                if let orders = waitForOrders(atMost: EngineCore.memoryLookSeconds) {
                    return orders
                }
                if !isSettled {
                    IdleMemory.giveBack()
                    isSettled = true
                }
            }
        }

        private func waitForOrders() -> [Order]? { monitor.wait(orders()) }

        private func waitForOrders(atMost seconds: Double) -> [Order]?? {
            monitor.wait(atMost: seconds, orders())
        }

        private func orders() -> (inout State) -> [Order]?? {
            let (status, hasWork) = (core.status, core.hasWork)
            return { state -> [Order]?? in
                state.status = status
                if state.orders.isEmpty && !hasWork {
                    guard state.isStopping else { return nil }
                    state.hasEnded = true
                    return .some(nil)
                }
                defer {
                    state.orders = []
                    state.pendingRequests = 0
                    state.pendingTokens = 0
                    state.status.stepSince = .now
                }
                return state.orders
            }
        }

        private func follow(_ order: Order) {
            switch order {
            case .add(let ticket, let request, let arrival):
                do {
                    groups[ticket] = try core.take(request, arrival: arrival)
                } catch {
                    let end = SampleEnd(reason: .error, stopToken: nil, error: error)
                    for sample in 0..<request.samples {
                        request.sink.ended(end, sample: sample)
                    }
                }
            case .cancel(let ticket):
                if let group = groups.removeValue(forKey: ticket) { core.cancel(group) }
            case .perform(let body): body(core)
            }
        }
    }
}

extension EngineCore {
    /// What the engine holds now.
    var status: EngineStatus {
        var status = EngineStatus()
        status.steps = steps
        status.running = scheduler.running.count
        status.waiting = scheduler.waiting.count
        status.waitingTokens = scheduler.waiting.reduce(0) { $0 + $1.tokens.count }
        status.pages = cache.pageCount
        status.usedPages = cache.pageCount - cache.freePages
        status.residentBytes = cache.residentBytes
        status.heldTokens = scheduler.running.reduce(0) { $0 + $1.computed }
        return status
    }

    package func cancelAll() {
        for id in groups.keys.sorted() { cancel(id) }
    }
}
