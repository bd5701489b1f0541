// SPDX-License-Identifier: Apache-2.0
// When the pages of buffers are resident.
import EftTensor
import Testing

@Suite struct BufferTests {
    private let size = 8 << 20

    @Test func `a buffer is resident at once, or as it is used`() throws {
        let ledger = MemoryLedger()
        let whole = try Buffer(byteCount: size, ledger: ledger, purpose: .kvCache)
        #expect(whole.residentBytes == size)
        let used = try Buffer(
            byteCount: size, ledger: ledger, purpose: .kvCache, residency: .onUse)
        #expect(used.residentBytes == 0)
        #expect(ledger.current[.kvCache] == 2 * size)
        used.floats[0] = 1
        used.floats[used.floatCount - 1] = 2
        // At most the two large pages at its ends.
        #expect(used.residentBytes >= 2 * 4096 && used.residentBytes <= 4 << 20)
    }

    @Test func `what is discarded is zero and no longer resident, the rest stays`() throws {
        let buffer = try Buffer(
            byteCount: size, ledger: nil, purpose: .kvCache, residency: .onUse)
        for place in 0..<buffer.floatCount { buffer.floats[place] = 3 }
        #expect(buffer.residentBytes == size)
        // Only whole pages go.
        buffer.discard(100..<4 << 20)
        #expect(buffer.residentBytes == size - (4 << 20) + 4096)
        #expect(buffer.floats[0] == 3 && buffer.floats[1023] == 3)
        #expect(buffer.floats[1024] == 0 && buffer.floats[(1 << 20) - 1] == 0)
        #expect(buffer.floats[1 << 20] == 3)
        buffer.floats[1024] = 5
        #expect(buffer.floats[1024] == 5)
        buffer.discard(0..<size)
        #expect(buffer.floats[0] == 0 && buffer.floats[buffer.floatCount - 1] == 0)
    }

    @Test func `a small buffer keeps its memory`() throws {
        let buffer = try Buffer(
            byteCount: 8192, ledger: nil, purpose: .kvCache, residency: .onUse)
        buffer.floats[1] = 4
        buffer.discard(0..<8192)
        #expect(buffer.floats[1] == 4)
    }

    @Test func `an empty range and an empty buffer are no trouble`() throws {
        let buffer = try Buffer(byteCount: 0, ledger: nil, purpose: .kvCache, residency: .onUse)
        buffer.discard(0..<0)
        #expect(buffer.residentBytes == 0)
    }

    @Test func `the machine says what it has left`() throws {
        let available = try #require(MachineMemory.available)
        #expect(available > 0)
        #expect(!MachineMemory.isShort || available < 512 << 20)
    }
}
