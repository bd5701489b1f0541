// SPDX-License-Identifier: Apache-2.0
// A sequence's tokens are the same alone and in a batch, in chunks and at once.
import EftGeneration
import EftModels
import EftTensor
import EftTestSupport
import Testing

@Suite struct GeneratorTests {
    private func generate(
        _ prompts: [[Int32]], sequences: Int, chunk: Int = 512, maxTokens: Int = 12,
        temperature: Float = 0, stop: Set<Int32> = []
    ) throws -> (tokens: [[Int32]], reasons: [FinishReason]) {
        let backend = try CPUBackend(threads: 2)
        let folder = try ModelFolder.open(Fixtures.path("models/gqa-tied"))
        let decoder = try DecoderLoader(folder: folder).load(backend: backend)
        let need = GenerationNeed(contextLength: 64, sequences: sequences, prefillChunk: chunk)
        let generator = try Generator(decoder: decoder, need: need)
        let requests = prompts.map {
            GenerationRequest(
                prompt: $0,
                parameters: GenerationParameters(
                    maxTokens: maxTokens, temperature: temperature, seed: 3, stopTokens: stop))
        }
        var tokens = prompts.map { _ in [Int32]() }
        let reasons = try generator.run(requests) { request, token in
            tokens[request].append(token)
            return true
        }
        return (tokens, reasons)
    }

    private let prompts: [[Int32]] = [[1, 2, 3], [7], Array(10..<40), [5, 9, 13, 2, 2]]

    @Test(arguments: [Float(0), 1])
    func `tokens do not depend on the batch or chunks`(_ temperature: Float) throws {
        let apart = try prompts.map {
            try generate([$0], sequences: 1, temperature: temperature).tokens[0]
        }
        let together = try generate(prompts, sequences: 4, temperature: temperature)
        #expect(together.tokens == apart)
        let crowded = try generate(prompts, sequences: 2, chunk: 7, temperature: temperature)
        #expect(crowded.tokens == apart)
        #expect(together.reasons == prompts.map { _ in .length })
        #expect(apart.allSatisfy { $0.count == 12 })
    }

    @Test func `a stop token ends a sequence and is no part of it`() throws {
        let free = try generate([[1, 2, 3]], sequences: 1).tokens[0]
        let stop = free[4]
        let stopped = try generate([[1, 2, 3]], sequences: 1, stop: [stop])
        #expect(stopped.reasons == [.stop])
        #expect(stopped.tokens[0] == Array(free.prefix { $0 != stop }))
    }

    @Test func `requests that cannot be served are refused`() {
        #expect(throws: GenerationError.self) { try generate([[]], sequences: 1) }
        #expect(throws: GenerationError.self) {
            try generate([Array(0..<60)], sequences: 1, maxTokens: 5)
        }
    }
}
