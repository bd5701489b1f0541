// SPDX-License-Identifier: Apache-2.0
// The engine's thread: callers from anywhere, limits, adapters that come and go, an orderly end.
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Synchronization
import Testing

@testable import EftGeneration

@Suite struct EngineTests {
    private func request(
        _ prompt: [Int32], _ sink: Listener, maxTokens: Int = 12
    ) -> EngineRequest {
        EngineRequest(prompt: prompt, parameters: EngineRig.parameters(maxTokens), sink: sink)
    }

    /// Waits for listeners, a minute at most.
    private func wait(_ listeners: [Listener]) async throws {
        for _ in 0..<6000 where !listeners.allSatisfy(\.isDone) {
            try await Task.sleep(for: .milliseconds(10))
        }
        #expect(listeners.allSatisfy { $0.isDone })
    }

    @Test func `callers on many threads get what each would get alone`() async throws {
        let engine = try Engine(EngineRig(pages: 8).core())
        let prompts: [[Int32]] = [[1, 2, 3], [7], Array(10..<40)]
        let listeners = (0..<24).map { _ in Listener() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, listener) in listeners.enumerated() {
                group.addTask {
                    _ = try engine.submit(request(prompts[index % 3], listener))
                }
            }
            try await group.waitForAll()
        }
        try await wait(listeners)
        for (index, listener) in listeners.enumerated() {
            #expect(listener.heard.tokens == listeners[index % 3].heard.tokens)
        }
        let status = try engine.perform { $0.status }
        #expect(status.running == 0 && status.waiting == 0 && status.usedPages == 0)
        engine.stop()
        #expect(throws: AdmissionError.self) { try engine.submit(request([1], Listener())) }
        #expect(throws: AdmissionError.self) { try engine.perform { $0.hasWork } }
    }

    @Test func `pages that nobody uses are given back, and answers stay the same`() async throws {
        let engine = try Engine(EngineRig(configure: { $0.idlePageTime = .zero }).core())
        let prompt = (0..<40).map { Int32($0 * 3 % 50) }
        var answers: [[[Int32]]] = []
        for _ in 0..<2 {
            let listener = Listener()
            _ = try engine.submit(request(prompt, listener))
            try await wait([listener])
            #expect(listener.heard.cached == 0)
            answers.append(listener.heard.tokens)
            for _ in 0..<6000 where engine.status.residentBytes > 0 {
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(engine.status.residentBytes == 0)
        }
        #expect(answers[0] == answers[1] && answers[0][0].count == 12)
        engine.stop()
    }

    @Test func `pages that cache stay for their time`() async throws {
        // Far longer than this test may have to wait for a thread beside all others.
        let engine = try Engine(
            EngineRig(configure: { $0.idlePageTime = .seconds(1_000_000) }).core())
        let prompt = (0..<40).map { Int32($0 * 3 % 50) }
        for cached in [0, 32] {
            let listener = Listener()
            _ = try engine.submit(request(prompt, listener))
            try await wait([listener])
            #expect(listener.heard.cached == cached)
            let resident = try engine.perform { core in
                core.giveBackMemory(now: .now + .seconds(500_000))
                return core.cache.residentBytes
            }
            #expect(resident > 0)
        }
        let rest = try engine.perform { core in
            core.giveBackMemory(now: .now + .seconds(2_000_000))
            return core.cache.residentBytes
        }
        #expect(rest == 0)
        engine.stop()
    }

    /// Cancels its request as soon as it hears of it.
    private final class Canceller: EngineSink {
        private let engine: Engine
        private let state = Mutex((ticket: Engine.Ticket?.none, end: FinishReason?.none))

        init(_ engine: Engine) { self.engine = engine }

        var end: FinishReason? { state.withLock { $0.end } }

        func cancel(_ ticket: Engine.Ticket) { state.withLock { $0.ticket = ticket } }

        func sampled(_ token: GeneratedToken, sample: Int) -> Bool {
            if let ticket = state.withLock({ $0.ticket }) { engine.cancel(ticket) }
            return true
        }

        func ended(_ end: SampleEnd, sample: Int) { state.withLock { $0.end = end.reason } }
    }

    @Test func `a cancelled request ends, before and while it runs`() async throws {
        let engine = try Engine(EngineRig(sequences: 1).core())
        let gate = try EngineGate(engine)
        let running = Canceller(engine)
        running.cancel(
            try engine.submit(
                EngineRequest(
                    prompt: [1, 2], parameters: EngineRig.parameters(60), sink: running)))
        let waiting = Listener()
        engine.cancel(try engine.submit(request([1, 2], waiting, maxTokens: 60)))
        gate.open()
        try await wait([waiting])
        #expect(waiting.heard.ends[0]?.reason == .abort && waiting.heard.tokens[0].isEmpty)
        for _ in 0..<6000 where running.end == nil {
            try await Task.sleep(for: .milliseconds(10))
        }
        #expect(running.end == .abort)
        engine.stop()
    }

    @Test func `a full queue refuses and says when to come back`() throws {
        var rig = EngineRig(sequences: 1)
        rig.configure = {
            $0.maxQueuedRequests = 2
            $0.maxQueuedTokens = 50
        }
        let engine = try Engine(rig.core())
        // The engine is kept busy, so that what is submitted stays in the queue.
        let gate = try EngineGate(engine)
        let listeners = (0..<3).map { _ in Listener() }
        var refused: AdmissionError?
        do {
            for listener in listeners + [Listener()] {
                _ = try engine.submit(request([1, 2], listener))
            }
        } catch { refused = error as? AdmissionError }
        #expect(refused?.reason == .queuedRequests && (refused?.retryAfter ?? 0) >= 1)
        gate.open()
        engine.stop()
        #expect(listeners.allSatisfy { $0.isDone })
    }

    @Test func `too many waiting tokens are refused`() throws {
        var rig = EngineRig(sequences: 1)
        rig.configure = { $0.maxQueuedTokens = 50 }
        let engine = try Engine(rig.core())
        let gate = try EngineGate(engine)
        let error = #expect(throws: AdmissionError.self) {
            for _ in 0..<3 { _ = try engine.submit(request(Array(1..<31), Listener())) }
        }
        #expect(error?.reason == .queuedTokens)
        gate.open()
        engine.stop()
    }

    @Test func `a closed engine finishes what it has`() async throws {
        let engine = try Engine(EngineRig().core())
        let listener = Listener()
        _ = try engine.submit(request([1, 2, 3], listener))
        engine.close()
        #expect(throws: AdmissionError.self) { try engine.submit(request([1], Listener())) }
        try await wait([listener])
        #expect(listener.heard.ends[0]?.reason == .length)
        let status = engine.status
        #expect(status.running + status.waiting == 0)
        engine.stop()
    }
}
