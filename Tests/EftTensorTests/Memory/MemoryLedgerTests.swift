// SPDX-License-Identifier: Apache-2.0
// The ledger's limit, peak and table.
import EftTensor
import Testing

@Suite struct MemoryLedgerTests {
    @Test func `a request over the limit is refused and changes nothing`() throws {
        let ledger = MemoryLedger(limit: 1000)
        try ledger.reserve(600, for: .weights)
        let error = #expect(throws: TensorError.self) { try ledger.reserve(401, for: .workspace) }
        #expect(error?.code == .outOfBudget)
        #expect(error?.message.contains("weights") == true)
        #expect(ledger.current.total == 600)
        try ledger.reserve(400, for: .workspace)
        #expect(ledger.peakTotal == 1000)
    }

    @Test func `the peak is the table of the highest total`() throws {
        let ledger = MemoryLedger()
        try ledger.reserve(10, for: .weights)
        try ledger.reserve(90, for: .workspace)
        ledger.release(90, for: .workspace)
        try ledger.reserve(50, for: .activations)
        #expect(ledger.peak[.workspace] == 90)
        #expect(ledger.peak[.activations] == 0)
        #expect(ledger.current[.activations] == 50)
        ledger.resetPeak()
        #expect(ledger.peakTotal == 60)
    }

    @Test func `sums that overflow are refused`() throws {
        let ledger = MemoryLedger()
        try ledger.reserve(.max, for: .weights)
        #expect(throws: TensorError.self) { try ledger.reserve(1, for: .weights) }
    }

    @Test(arguments: [0, 1, 63, 64, 4096, 300_000])
    func `a buffer is zero, aligned, and gives its memory back`(_ bytes: Int) throws {
        let ledger = MemoryLedger(limit: 300_000)
        do {
            let buffer = try Buffer(byteCount: bytes, ledger: ledger, purpose: .gradients)
            #expect(Int(bitPattern: buffer.base) % 64 == 0)
            #expect(buffer.bytes.allSatisfy { $0 == 0 })
            #expect(ledger.current[.gradients] == bytes)
        }
        #expect(ledger.current.total == 0)
    }

    @Test(
        arguments: zip(
            [0, 1023, 1536, 5 << 20, 3 << 30],
            ["0 B", "1023 B", "1.5 KiB", "5.0 MiB", "3.0 GiB"]))
    func `bytes are written for people`(_ bytes: Int, _ text: String) {
        #expect(formatBytes(bytes) == text)
    }

    @Test func `products of extents that overflow are nil, and a zero wins`() {
        #expect(checkedProduct([1 << 40, 1 << 40]) == nil)
        #expect(checkedProduct([1 << 40, 1 << 40, 0]) == 0)
        #expect(checkedProduct([]) == 1)
        #expect(throws: TensorError.self) { try Shape(checking: [-1, 2]) }
    }
}
