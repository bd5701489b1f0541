// SPDX-License-Identifier: Apache-2.0
// How a server's cache is cut to the memory that weights leave.
import EftModels
import EftNN
import EftPlanning
import EftTensor
import Testing

@Suite struct ServePlanTests {
    /// A decoder of about 31 million parameters, 124 MB in f32.
    private func description() -> DecoderDescription {
        DecoderDescription(
            architecture: "LlamaForCausalLM", vocabulary: 4096, layers: 8,
            shape: DecoderShape(
                hidden: 512, intermediate: 1408, heads: 8, kvHeads: 4, headDim: 64,
                normEpsilon: 1e-5),
            rotary: RotaryEmbedding(headDim: 64, theta: 10000, scaling: .none),
            contextLength: 1024, tiedEmbeddings: false, queryKeyValueBias: false,
            outputBias: false, mlpBias: false, initializerRange: 0.02)
    }

    private func plan(_ limit: Int, _ change: (inout ServeRequirements) -> Void = { _ in }) throws
        -> ServePlan
    {
        let description = description()
        let planner = Planner(
            description: description, limits: [limit], programBytes: 1 << 20,
            backend: try CPUBackend(threads: 1))
        var requirements = ServeRequirements(maxSequences: 16, maxBatchedTokens: 64, kvType: .bf16)
        change(&requirements)
        return planner.serve(
            layouts: try DecoderLayouts(description, format: .dense(.bf16)),
            requirements: requirements)
    }

    @Test func `the cache takes what is left, to the last page`() throws {
        let limit = 110 << 20
        let plan = try plan(limit)
        #expect(plan.stage.fits([limit]) && plan.stage.streaming == nil)
        let page =
            PagedCache.byteCount(
                pages: 1, layers: 8, shape: description().shape, kvType: .bf16)
            + ServeRequirements.tableBytes
        #expect(limit - plan.stage.memory.total < page)
        #expect(plan.cacheTokens == plan.need.pages * 16)
        #expect(plan.concurrency >= 1 && plan.concurrency < 16)
    }

    @Test func `no more than all sequences can fill is taken`() throws {
        let plan = try plan(4 << 30)
        #expect(plan.need.pages == 16 * 64)
        #expect(plan.concurrency == 16)
    }

    @Test func `narrower keys and values hold more tokens`() throws {
        let wide = try plan(110 << 20) { $0.maxSequences = 64 }
        let narrow = try plan(110 << 20) {
            $0.maxSequences = 64
            $0.kvType = .q4
        }
        #expect(narrow.cacheTokens > 3 * wide.cacheTokens)
    }

    @Test func `a context that cannot fit is refused with the longest that would, or taken`() throws
    {
        // Room for streamed weights and a short context.
        let limit = 32 << 20
        let refused = try plan(limit) { $0.kvType = .f32 }
        #expect(!refused.stage.fits([limit]))
        let remedy = try #require(refused.stage.remedy)
        let length = try #require(remedy.split(separator: " ").last.flatMap { Int($0) })
        let taken = try plan(limit) {
            $0.kvType = .f32
            $0.mayShorten = true
        }
        #expect(taken.stage.fits([limit]) && taken.need.contextLength == length)
        #expect(taken.need.contextLength < 1024)
        let longer = try plan(limit) {
            $0.kvType = .f32
            $0.maxModelLength = length + 16
        }
        #expect(!longer.stage.fits([limit]))
    }

    @Test func `what is asked for is taken as it is`() throws {
        #expect(try plan(1 << 30) { $0.cachePages = 77 }.need.pages == 77)
        let bytes = try plan(1 << 30) { $0.cacheBytes = 8 << 20 }
        // A token takes 8 layers x 4 heads x 64 numbers x 2 x 2 bytes.
        #expect(bytes.need.pages == (8 << 20) / (8 * 4 * 64 * 4 * 16))
        #expect(bytes.need.contextLength <= bytes.cacheTokens)
    }

    /// The plan of a server with windows in all layers but two, within a number of bytes of cache if given.
    private func windowed(
        sequences: Int, _ change: (inout ServeRequirements) -> Void = { _ in }
    ) throws -> (plan: ServePlan, description: DecoderDescription) {
        var description = description()
        description.contextLength = 4096
        description.kinds = (0..<8).map { LayerKind(window: $0 % 4 == 3 ? nil : 128) }
        let limit = 200 << 20
        let planner = Planner(
            description: description, limits: [limit], programBytes: 1 << 20,
            backend: try CPUBackend(threads: 1))
        var requirements = ServeRequirements(
            maxSequences: sequences, maxBatchedTokens: 64, kvType: .bf16)
        change(&requirements)
        let plan = planner.serve(
            layouts: try DecoderLayouts(description, format: .dense(.bf16)),
            requirements: requirements)
        #expect(plan.stage.fits([limit]))
        return (plan, description)
    }

    @Test func `windows leave room for more tokens`() throws {
        let (plan, description) = try windowed(sequences: 8)
        let pages = plan.need.pagePlan(description)
        // 9 sequences of 128 positions with begun pages at both ends, and 64 rows.
        #expect(pages.groups.map(\.pages) == [plan.need.pages, 9 * 10 + 4])
        #expect(plan.need.pages == 8 * 256)
        let page = PagedCache.byteCount(
            pages: 1, layers: 1, shape: description.shape, kvType: .bf16)
        #expect(
            plan.stage.memory[.kvCache] == (2 * plan.need.pages + 6 * 94) * page)
        // Few pages are fewer than the windows could need.
        let small = try windowed(sequences: 8) { $0.cachePages = 60 }
        #expect(small.plan.stage.memory[.kvCache] == 8 * 60 * page)
    }

    @Test(arguments: [1, 3, 100, 700, 1500])
    func `bytes of cache become as many pages as they hold`(_ kilobytes: Int) throws {
        let bytes = kilobytes << 14
        let (plan, description) = try windowed(sequences: 8) { $0.cacheBytes = bytes }
        let need = plan.need
        func takes(_ pages: Int) -> Int {
            var need = need
            need.cachePages = pages
            return need.cacheBytes(description, layers: 0..<8)
        }
        #expect(takes(need.pages + 1) > bytes)
        #expect(need.pages == 1 || takes(need.pages) <= bytes)
    }
}
