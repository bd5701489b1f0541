// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftTestSupport
import Testing

@testable import EftServer

struct CompletionTests {
    private let demo: DemoServer
    init() throws { demo = try DemoServer.shared() }

    private func text(_ changes: ConfigObject = [:]) throws -> String? {
        try demo.complete(changes)["choices"][0]["text"].text
    }

    @Test func `a completion has the fields of OpenAI's`() throws {
        let answer = try demo.complete()
        #expect(answer["id"].text?.hasPrefix("cmpl-") == true)
        #expect(answer["object"] == "text_completion")
        #expect(answer["model"] == "demo")
        #expect(answer["created"].integer ?? 0 > 1_700_000_000)
        let choice = answer["choices"][0]
        #expect(choice["index"] == 0)
        #expect(choice["finish_reason"] == "length")
        #expect(choice["logprobs"].isNull)
        #expect(choice["stop_reason"].isNull)
        #expect(answer["usage"]["completion_tokens"] == 8)
        let prompt = answer["usage"]["prompt_tokens"].integer ?? 0
        let ids = try demo.model.encode(DemoServer.prompt, addSpecialTokens: true)
        #expect(prompt == ids.count)
        #expect(answer["usage"]["total_tokens"].integer == prompt + 8)
        let server = try demo.server()
        let list = try server.send(TestRequest("GET", "/v1/models")).json
        #expect(list["data"][0]["id"] == "demo")
        #expect(list["data"][1]["id"] == "alias")
        let card = try server.send(TestRequest("GET", "/v1/models/alias")).json
        #expect(card["max_model_len"] == 512)
        #expect(try server.send(TestRequest("GET", "/v1/models/nobody")).status == 404)
    }

    @Test func `prompts may be texts and ids, one or many`() throws {
        let ids = try demo.model.encode(DemoServer.prompt, addSpecialTokens: true).map { Int($0) }
        let other = try demo.model.encode("Once", addSpecialTokens: true).map { Int($0) }
        let text = try text()
        #expect(text?.isEmpty == false)
        #expect(try self.text(["prompt": ConfigNode(ids)]) == text)
        let texts = try demo.complete(["prompt": [ConfigNode(DemoServer.prompt), "Once"]])
        let lists = try demo.complete(["prompt": [ConfigNode(ids), ConfigNode(other)]])
        #expect(texts["choices"] == lists["choices"])
        #expect(texts["choices"][0]["text"].text == text)
        #expect(texts["choices"].items.map { Optional($0)["index"].integer } == [0, 1])
        #expect(texts["usage"]["prompt_tokens"].integer == ids.count + other.count)
    }

    @Test func `a seed repeats its answers, and another gives others`() throws {
        let sampled: ConfigObject = ["temperature": 2, "seed": 5, "n": 3, "max_tokens": 16]
        let first = try demo.complete(sampled)["choices"]
        #expect(first.items.count == 3)
        #expect(Set(first.items.map { Optional($0)["text"].text }).count == 3)
        #expect(try demo.complete(sampled)["choices"] == first)
        var other = sampled
        other["seed"] = 6
        #expect(try demo.complete(other)["choices"] != first)
    }

    @Test func `an echo shows the prompt, and offsets lead to its tokens`() throws {
        let answer = try demo.complete(["echo": true, "logprobs": 2, "max_tokens": 3])
        let text = answer["choices"][0]["text"].text ?? ""
        #expect(text.hasPrefix(DemoServer.prompt))
        let logprobs = answer["choices"][0]["logprobs"]
        let count = (answer["usage"]["total_tokens"].integer ?? 0)
        #expect(logprobs["tokens"].items.count == count)
        #expect(logprobs["token_logprobs"][0].isNull)
        #expect(logprobs["top_logprobs"][0].isNull)
        let scalars = Array(text.unicodeScalars)
        // The first token is the tokenizer's own and has no text.
        #expect(logprobs["text_offset"][1] == 0)
        for place in 1..<count {
            let token = logprobs["tokens"][place].text ?? ""
            let offset = logprobs["text_offset"][place].integer ?? 0
            let found = scalars.dropFirst(offset).prefix(token.unicodeScalars.count)
            #expect(Array(found) == Array(token.unicodeScalars))
            let top = logprobs["top_logprobs"][place]
            #expect((2...3).contains(top.keys.count))
            #expect(top[token] == logprobs["token_logprobs"][place])
        }
        let alone = try demo.complete(["echo": true, "logprobs": 0, "max_tokens": 0])
        #expect(alone["choices"][0]["text"].text == DemoServer.prompt)
        let scores = alone["choices"][0]["logprobs"]["token_logprobs"].items
        #expect(scores == Array(logprobs["token_logprobs"].items.prefix(count - 3)))
        let ids = try demo.model.encode("Once", addSpecialTokens: true).map { Int($0) }
        let formatted = try demo.complete([
            "prompt": ConfigNode(ids), "echo": true, "max_tokens": 0,
        ])
        #expect(formatted["choices"][0]["text"].text == "<|begin_of_text|>Once")
    }

    static let streams: [ConfigObject] = [
        ["max_tokens": 30], ["max_tokens": 20, "temperature": 1, "seed": 5, "n": 3],
        ["max_tokens": 40, "stop": ["ns an", "zzz"]], ["max_tokens": 4, "echo": true],
        ["max_tokens": 9, "logprobs": 3], ["max_tokens": 3, "logprobs": 1, "echo": true],
        ["max_tokens": 12, "logit_bias": ["130": 100]],
        ["prompt": ["Once", "What"], "max_tokens": 5],
    ]

    @Test(arguments: CompletionTests.streams)
    func `a stream comes to the same as a whole answer`(changes: ConfigObject) throws {
        let whole = try demo.complete(changes)
        var body: ConfigObject = [
            "prompt": ConfigNode(DemoServer.prompt), "temperature": 0,
            "stream_options": ["include_usage": true],
        ]
        for entry in changes.entries { body[entry.key] = entry.node }
        let events = try demo.events("/v1/completions", body)
        let count = whole["choices"].items.count
        var texts = Array(repeating: "", count: count)
        var reasons: [ConfigNode?] = Array(repeating: nil, count: count)
        var scores: [[ConfigNode]] = Array(repeating: [], count: count)
        for event in events.dropLast() {
            #expect(event["id"] == events[0]["id"])
            #expect(event["choices"].items.count == 1)
            let choice = event["choices"][0]
            let place = choice["index"].integer ?? 0
            texts[place] += choice["text"].text ?? ""
            scores[place] += choice["logprobs"]["token_logprobs"].items
            if !choice["finish_reason"].isNull { reasons[place] = choice["finish_reason"] }
        }
        #expect(events.last?["choices"].items.isEmpty == true)
        #expect(events.last?["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"])
        for place in 0..<count {
            let choice = whole["choices"][place]
            #expect(texts[place] == choice["text"].text)
            #expect(reasons[place] == choice["finish_reason"])
            #expect(scores[place] == choice["logprobs"]["token_logprobs"].items)
        }
    }

    @Test func `stop strings and tokens end an answer before them`() throws {
        let whole = try text(["max_tokens": 30]) ?? ""
        let words = whole.split(separator: " ")
        let stop = " \(words[4].prefix(3))"
        let cut = try demo.complete(["max_tokens": 30, "stop": ConfigNode(stop)])["choices"][0]
        let text = cut["text"].text ?? ""
        #expect(whole.hasPrefix(text + stop))
        #expect(cut["finish_reason"] == "stop")
        #expect(cut["stop_reason"].text == stop)
        let kept = try self.text([
            "max_tokens": 30, "stop": [ConfigNode(stop)], "include_stop_str_in_output": true,
        ])
        #expect(kept == text + stop)
        let ids = try demo.complete(["return_token_ids": true])["choices"][0]["token_ids"].items
        let ended = try demo.complete(["stop_token_ids": [ids[2]], "return_token_ids": true])
        // Some clients write all numbers with a point.
        let pointed = try demo.complete([
            "stop_token_ids": [ConfigNode(Double(try ConfigCursor(ids[2]).int()))],
            "return_token_ids": true,
        ])
        #expect(pointed["choices"] == ended["choices"])
        let begun = ended["choices"][0]["token_ids"].items
        #expect(begun.prefix(2) == ids.prefix(2))
        #expect(begun.count <= 3)
        #expect(ended["choices"][0]["stop_reason"] == ids[2])
        let least = try demo.complete([
            "stop_token_ids": ConfigNode(ids), "min_tokens": 5, "return_token_ids": true,
        ])
        #expect(
            least["choices"][0]["token_ids"].items.prefix(5).allSatisfy { !ids.contains($0) })
    }

    @Test func `settings act on the choice of tokens`() throws {
        func ids(_ changes: ConfigObject) throws -> [Int] {
            var changes = changes
            changes["return_token_ids"] = true
            return try demo.complete(changes)["choices"][0]["token_ids"].items
                .compactMap { Optional($0).integer }
        }
        let plain = try ids([:])
        #expect(try ids(["logit_bias": ["77": 100]]) == Array(repeating: 77, count: 8))
        #expect(try Set(ids(["allowed_token_ids": [70, 71]])).isSubset(of: [70, 71]))
        #expect(try ids(["temperature": 1, "top_k": 1]) == plain)
        #expect(try ids(["temperature": 1, "top_p": 1e-6]) == plain)
        #expect(try ids(["temperature": 1, "min_p": 1]) == plain)
        #expect(try ids(["repetition_penalty": 3]) != plain)
        let first = try text(["max_tokens": 1]) ?? ""
        let other = try text([
            "max_tokens": 1, "bad_words": [ConfigNode(String(first.dropFirst()))],
        ])
        #expect(other != first)
    }

    @Test func `beams are the likeliest answers, the best one first`() throws {
        let beams = try demo.complete(["use_beam_search": true, "n": 3])["choices"]
        #expect(beams.items.count == 3)
        #expect(Set(beams.items.map { Optional($0)["text"].text }).count == 3)
        let greedy = try demo.complete(["logprobs": 0])["choices"][0]["logprobs"]["token_logprobs"]
        let sum = greedy.items.reduce(0.0) { $0 + (Optional($1).number ?? 0) }
        #expect(beams[0]["cumulative_logprob"].number ?? -.infinity >= sum - 1e-3)
    }

    @Test func `vLLM's first route answers with the prompt in front`() throws {
        let plain = try demo.answer(
            "/generate",
            ["prompt": ConfigNode(DemoServer.prompt), "temperature": 0, "max_tokens": 8])
        #expect(plain["text"][0].text == DemoServer.prompt + (try text() ?? ""))
        let stream = try demo.post(
            "/generate",
            [
                "prompt": ConfigNode(DemoServer.prompt), "temperature": 0, "max_tokens": 8,
                "stream": true,
            ])
        let last = stream.text.split(separator: "\n").last.map { Array($0.utf8) } ?? []
        #expect(try JSONParser.parse(last) == plain)
    }

    @Test func `texts become tokens and texts again`() throws {
        let tokens = try demo.answer(
            "/tokenize", ["prompt": "Pea soup", "return_token_strs": true])
        #expect(tokens["count"].integer == tokens["tokens"].items.count)
        #expect(tokens["token_strs"].items.count == tokens["tokens"].items.count)
        let back = try demo.answer("/detokenize", ["tokens": ConfigNode(tokens["tokens"].items)])
        #expect(back["prompt"].text == "<|begin_of_text|>Pea soup")
    }

    @Test func `embeddings have the length 1, as numbers and as bytes`() throws {
        let plain = try demo.answer("/v1/embeddings", ["input": ["soup", "a pony"]])
        for item in plain["data"].items {
            let vector = Optional(item)["embedding"].items.compactMap { Optional($0).number }
            #expect(vector.count == 256)
            #expect(abs(vector.reduce(0) { $0 + $1 * $1 } - 1) < 1e-4)
        }
        let packed = try demo.answer(
            "/v1/embeddings", ["input": "soup", "encoding_format": "base64"])
        let vector = plain["data"][0]["embedding"].items.compactMap { Optional($0).number }
        let bytes = vector.flatMap { value in
            withUnsafeBytes(of: Float(value).bitPattern.littleEndian) { Array($0) }
        }
        #expect(packed["data"][0]["embedding"].text == Base64.text(bytes))
        let short = try demo.answer("/v1/embeddings", ["input": "soup", "dimensions": 16])
        #expect(short["data"][0]["embedding"].items.count == 16)
    }
}
