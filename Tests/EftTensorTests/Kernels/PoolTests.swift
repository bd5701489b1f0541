// SPDX-License-Identifier: Apache-2.0
// Contexts and their pools of workers.
import CEftKernels
import Synchronization
import Testing

struct PoolTests {
    /// What bodies count in.
    private final class Counts: Sendable {
        let perIndex: [Counter]
        let workers = Mutex<Set<Int>>([])
        init(_ count: Int) { perIndex = (0..<count).map { _ in Counter() } }
    }
    private final class Counter: Sendable {
        let value = Atomic<Int>(0)
        func increment() { value.wrappingAdd(1, ordering: .relaxed) }
        var count: Int { value.load(ordering: .relaxed) }
    }

    private static func count(_ context: OpaquePointer, into counts: Counts) {
        eft_parallel_for(
            context, counts.perIndex.count,
            { argument, index, worker in
                guard let argument else { return }
                let counts = Unmanaged<Counts>.fromOpaque(argument).takeUnretainedValue()
                counts.perIndex[index].increment()
                _ = counts.workers.withLock { $0.insert(worker) }
            }, Unmanaged.passUnretained(counts).toOpaque())
    }

    @Test(arguments: [1, 2, 3, 8], [0, 1, 2, 7, 1000])
    func `calls each index once, with workers in range`(threads: Int, count: Int) throws {
        try KernelLevel.scalar.run(threads: threads) { context in
            #expect(eft_context_threads(context) == threads)
            let counts = Counts(count)
            Self.count(context, into: counts)
            #expect(counts.perIndex.allSatisfy { $0.count == 1 })
            #expect(counts.workers.withLock { $0.allSatisfy { (0..<threads).contains($0) } })
        }
    }

    @Test func `many short jobs in a row lose nothing`() throws {
        try KernelLevel.scalar.run(threads: 3) { context in
            let counts = Counts(5)
            for _ in 0..<20_000 { Self.count(context, into: counts) }
            #expect(counts.perIndex.allSatisfy { $0.count == 20_000 })
        }
    }

    @Test func `callers from several threads wait for each other`() async throws {
        let counts = Counts(3)
        try await withThrowingTaskGroup(of: Void.self) { group in
            let shared = try Shared()
            for _ in 0..<4 {
                group.addTask {
                    for _ in 0..<500 { Self.count(shared.context, into: counts) }
                }
            }
            try await group.waitForAll()
        }
        #expect(counts.perIndex.allSatisfy { $0.count == 2000 })
    }

    /// A context that several tasks call; its calls are serialized by the pool, which is what is tested.
    private final class Shared: @unchecked Sendable {
        let context: OpaquePointer
        init() throws { context = try #require(eft_context_create(EFT_ISA_SCALAR, 2)) }
        deinit { eft_context_destroy(context) }
    }

    @Test func `a body that asks for parallel work does it alone`() throws {
        final class Nested: Sendable {
            let context: OpaquePointerBox
            let counts = Counts(10)
            init(_ context: OpaquePointer) { self.context = OpaquePointerBox(context) }
        }
        try KernelLevel.scalar.run(threads: 3) { context in
            let nested = Nested(context)
            eft_parallel_for(
                context, 20,
                { argument, _, _ in
                    guard let argument else { return }
                    let nested = Unmanaged<Nested>.fromOpaque(argument).takeUnretainedValue()
                    PoolTests.count(nested.context.value, into: nested.counts)
                }, Unmanaged.passUnretained(nested).toOpaque())
            #expect(nested.counts.perIndex.allSatisfy { $0.count == 20 })
        }
    }

    private struct OpaquePointerBox: @unchecked Sendable {
        let value: OpaquePointer
        init(_ value: OpaquePointer) { self.value = value }
    }

    @Test func `levels have names, and one that the machine lacks is refused`() {
        let levels = [0, 1, 2, 3, 4, 16, 17, 5].map { eft_isa(rawValue: $0) }
        #expect(
            levels.map { String(cString: eft_isa_name($0)) } == [
                "scalar", "avx2", "avx512", "avx512_vnni", "avx512_bf16", "neon", "neon_i8mm",
                "unknown",
            ])
        #expect(eft_isa_is_available(EFT_ISA_SCALAR) && eft_isa_is_available(eft_isa_best()))
        // No machine has levels of both kinds.
        #expect(!eft_isa_is_available(EFT_ISA_AVX2) || !eft_isa_is_available(EFT_ISA_NEON))
        #expect(eft_isa_default().rawValue <= eft_isa_best().rawValue)
        if eft_isa_best() != EFT_ISA_AVX512_BF16 {
            #expect(eft_context_create(EFT_ISA_AVX512_BF16, 1) == nil)
        }
        #expect(eft_context_create(eft_isa(rawValue: 77), 1) == nil)
    }
}
