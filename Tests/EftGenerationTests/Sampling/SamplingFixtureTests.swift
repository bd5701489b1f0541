// SPDX-License-Identifier: Apache-2.0
// Every step of sampling, alone and with others, against transformers' processors and formulas.
import EftConfig
import EftTestSupport
import Testing

@testable import EftGeneration

@Suite struct SamplingFixtureTests {
    private struct Case {
        let logits: [Float]
        let prompt: [Int32]
        let answer: [Int32]
        let mask: [Int]?
        let parameters: GenerationParameters
        /// After the penalties.
        let processed: [Float]
        /// What the filters leave, by token; nil when the temperature is 0.
        let probabilities: [UInt32: Double]?

        init(_ cursor: ConfigCursor) throws {
            logits = try Case.logits(cursor.required("logits"))
            prompt = try cursor.required("prompt").ints().map(Int32.init)
            answer = try cursor.required("answer").ints().map(Int32.init)
            mask = try cursor.optional("mask")?.ints()
            parameters = try Case.parameters(cursor.required("parameters"))
            processed = try Case.logits(cursor.required("processed"))
            probabilities = try cursor.optional("probabilities").map { cursor in
                try cursor.entries().reduce(into: [:]) { found, entry in
                    found[try #require(UInt32(entry.key))] = try entry.cursor.double()
                }
            }
        }

        static func logits(_ cursor: ConfigCursor) throws -> [Float] {
            try cursor.elements().map {
                if case .null = $0.node.value { return -.infinity }
                return Float(try $0.double())
            }
        }

        private static func parameters(_ cursor: ConfigCursor) throws -> GenerationParameters {
            var parameters = GenerationParameters()
            func number(_ key: String, _ path: WritableKeyPath<GenerationParameters, Float>) throws
            {
                if let found = try cursor.optional(key) {
                    parameters[keyPath: path] = Float(try found.double())
                }
            }
            try number("temperature", \.temperature)
            try number("repetition_penalty", \.repetitionPenalty)
            try number("frequency_penalty", \.frequencyPenalty)
            try number("presence_penalty", \.presencePenalty)
            try number("min_p", \.minP)
            try number("top_p", \.topP)
            try number("typical_p", \.typicalP)
            try number("xtc_threshold", \.xtc.threshold)
            parameters.topK = try cursor.int("top_k", default: 0)
            parameters.minTokens = try cursor.int("min_tokens", default: 0)
            parameters.stopTokens = Set(
                try cursor.required("stop_token_ids").ints().map(Int32.init))
            parameters.allowedTokenIDs = try cursor.optional("allowed_token_ids")?.ints()
                .map(Int32.init)
            parameters.badWords =
                try cursor.optional("bad_words")?.elements().map {
                    try $0.ints().map(Int32.init)
                } ?? []
            for (key, bias) in try cursor.optional("logit_bias")?.entries() ?? [] {
                parameters.logitBias[try #require(Int32(key))] = Float(try bias.double())
            }
            if let dry = try cursor.optional("dry") {
                parameters.dry = DRYParameters(
                    multiplier: Float(try dry.required("multiplier").double()),
                    base: Float(try dry.required("base").double()),
                    allowedLength: try dry.required("allowed_length").int(),
                    range: try dry.required("range").int(),
                    sequenceBreakers: Set(
                        try dry.required("breakers").ints().map(Int32.init)))
            }
            if try cursor.optional("xtc_threshold") != nil { parameters.xtc.probability = 1 }
            return parameters
        }
    }

    private static func read(_ name: String) throws -> [ConfigCursor] {
        let path = Fixtures.path("sampling/\(name)")
        return try ConfigFile.read(path).elements()
    }

    private static func cases() throws -> [Case] { try read("cases.json").map { try Case($0) } }

    @Test func `masks, biases and penalties give the reference's logits`() throws {
        for item in try Self.cases() {
            var row = item.logits
            var history = TokenHistory(prompt: item.prompt, isCounted: true)
            for token in item.answer { history.append(token) }
            row.withUnsafeMutableBufferPointer { row in
                if let mask = item.mask {
                    for token in row.indices where !mask.contains(token) {
                        row[token] = -.infinity
                    }
                }
                var edited = EditedRow(row, isLogged: false)
                LogitEdits(item.parameters, vocabulary: row.count)
                    .apply(to: &edited, history: history)
            }
            for (found, wanted) in zip(row, item.processed) {
                #expect(found == wanted || abs(found - wanted) <= 2e-6 * max(1, abs(wanted)))
            }
            #expect(row.count == item.processed.count)
        }
    }

    @Test func `filters leave the reference's tokens with their probabilities`() throws {
        for item in try Self.cases() {
            guard let wanted = item.probabilities else { continue }
            let sampler = sampler(item.parameters, vocabulary: item.logits.count)
            let found = try item.processed.withUnsafeBufferPointer { row in
                let row = LogitRow(row)
                return sampler.candidates(
                    row, top: try row.peak().value,
                    excludes: item.parameters.xtc.probability > 0)
            }
            #expect(found.tokens == wanted.keys.sorted())
            for (token, weight) in zip(found.tokens, found.weights) {
                let probability = Double(weight) / found.total
                #expect(abs(probability - (wanted[token] ?? -1)) < 3e-6)
            }
        }
    }

    /// The 99.99th percentile of chi-square, by Wilson and Hilferty.
    private static func limit(_ freedom: Int) -> Double {
        let n = Double(max(freedom, 1)), spread = 2 / (9 * n)
        let root = 1 - spread + 3.72 * spread.squareRoot()
        return n * root * root * root
    }

    @Test func `samples follow the reference's distribution`() throws {
        for item in try Self.cases() {
            guard let wanted = item.probabilities else { continue }
            let samples = 2000
            var counts: [UInt32: Int] = [:]
            for seed in 0..<UInt64(samples) {
                var parameters = item.parameters
                parameters.seed = seed &* 977
                let token = try sampler(
                    parameters, prompt: item.prompt, answer: item.answer,
                    vocabulary: item.logits.count
                ).sample(from: item.logits, allowed: item.mask).id
                counts[UInt32(token), default: 0] += 1
            }
            #expect(counts.keys.allSatisfy { wanted[$0] != nil })
            // Rare tokens together are one class.
            var (statistic, freedom, rare, rareFound) = (0.0, -1, 0.0, 0.0)
            func add(_ expected: Double, _ found: Double) {
                statistic += (found - expected) * (found - expected) / expected
                freedom += 1
            }
            for (token, probability) in wanted {
                let expected = probability * Double(samples), found = Double(counts[token] ?? 0)
                if expected < 8 {
                    rare += expected
                    rareFound += found
                } else {
                    add(expected, found)
                }
            }
            if rare >= 8 { add(rare, rareFound) } else { #expect(rareFound < rare + 25) }
            #expect(statistic < Self.limit(freedom))
        }
    }

    @Test func `log-probabilities and ranks are the reference's`() throws {
        for cursor in try Self.read("scores.json") {
            let logits = try Case.logits(cursor.required("logits"))
            let count = try cursor.required("count").int()
            let scorer = PromptScorer(count: count)
            for wanted in try cursor.required("tokens").elements() {
                let token = Int32(try wanted.required("token").int())
                let found = try logits.withUnsafeBufferPointer {
                    try scorer.score($0, next: token)
                }
                #expect(found.top.map { Int($0.id) } == (try wanted.required("ids").ints()))
                #expect(found.top.map(\.rank) == (try wanted.required("ranks").ints()))
                let logprobs = try wanted.required("logprobs").doubles()
                for (found, wanted) in zip(found.top, logprobs) {
                    #expect(abs(Double(found.logprob) - wanted) < 1e-5)
                }
                #expect(found.id == token && found.top.first?.id == token)
                #expect(found.logprob == found.top[0].logprob && found.rank == found.top[0].rank)
                // A sampler forced to this token reports the same: raw logits count.
                var settings = parameters(temperature: 0.5) { $0.topK = 3 }
                settings.logprobs = count
                settings.allowedTokenIDs = [token]
                settings.logitBias = [token: -3]
                let sampled = try sampler(settings, vocabulary: logits.count).sample(from: logits)
                #expect(sampled == found)
                settings.allowedTokenIDs = nil
                settings.logitBias = [token: 100]
                settings.repetitionPenalty = 1.1
                settings.temperature = 0
                let biased = try sampler(settings, prompt: [0], vocabulary: logits.count)
                    .sample(from: logits)
                #expect(biased == found)
            }
        }
    }
}
