// SPDX-License-Identifier: Apache-2.0
// Waiting for another thread, for so long or for any time.
import EftTensor
import Testing

@Suite struct MonitorTests {
    @Test func `a wait ends when its time is up`() {
        let monitor = Monitor(1)
        for seconds in [0, 0.02, -1] {
            let start = ContinuousClock.now
            let value = monitor.wait(atMost: seconds) { $0 == 2 ? $0 : nil }
            #expect(value == nil)
            #expect(ContinuousClock.now - start >= .seconds(max(0, seconds)))
        }
    }

    @Test func `a wait ends early when the state has come`() throws {
        let monitor = Monitor(1)
        #expect(monitor.wait(atMost: 0) { $0 == 1 ? "there" : nil } == "there")
        let thread = try WorkerThread { monitor.withLock { $0 = 2 } }
        #expect(monitor.wait(atMost: 600) { $0 == 2 ? "came" : nil } == "came")
        thread.join()
    }
}
