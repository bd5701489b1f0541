// SPDX-License-Identifier: Apache-2.0
// Multiple-choice questions: log-likelihoods of lm-evaluation-harness, however the choices stand in batches.
import EftConfig
import EftFormats
import EftGeneration
import EftModels
import EftTensor
import EftTestSupport
import EftTokenizers
import Testing

@Suite struct ChoiceTests {
    private static let model = Fixtures.packageRoot + "/Examples/demo/model"
    private static let path = Fixtures.path("choices/questions.jsonl")

    private func golden() throws -> ConfigCursor {
        ConfigCursor(try JSONParser.parse(FileSystem.read(Fixtures.path("choices/golden.json"))))
    }

    private func score(_ rows: Int) throws -> ChoiceScore {
        let folder = try ModelFolder.open(Self.model)
        let decoder = try DecoderLoader(folder: folder).load(backend: CPUBackend(threads: 2))
        let encoder = ChoiceEncoder(
            tokenizer: try Tokenizer.load(folder: Self.model),
            contextLength: folder.description.contextLength)
        let questions = try ChoiceQuestion.read(Self.path)
        let choices = try questions.map(encoder.encode)
        return try ChoiceEvaluator(
            decoder: decoder, slots: [], rows: ChoiceEvaluator.rows(choices, wanted: rows)
        ).score(questions, choices) { _ in }
    }

    @Test func `log-likelihoods and accuracies are lm-eval's`() throws {
        let (golden, found) = (try golden(), try score(2048))
        let wanted = try golden.required("log_likelihoods").elements()
            .map { try $0.elements().map { try $0.double() } }
        #expect(found.logLikelihoods.map(\.count) == wanted.map(\.count))
        for (question, (some, others)) in zip(found.logLikelihoods, wanted).enumerated() {
            for (one, other) in zip(some, others) {
                #expect(abs(one - other) < 2e-4 * max(1, abs(other)), "question \(question)")
            }
        }
        #expect(try abs(found.accuracy.value - golden.required("acc").double()) < 1e-9)
        #expect(
            try abs(found.accuracyByCharacter.value - golden.required("acc_norm").double()) < 1e-9)
        #expect(try abs(found.accuracyByByte.value - golden.required("acc_bytes").double()) < 1e-9)
    }

    @Test func `what else is in a batch changes nothing`() throws {
        let whole = try score(1 << 16).logLikelihoods
        #expect(try score(2).logLikelihoods == whole)
        #expect(try score(600).logLikelihoods == whole)
    }

    @Test(arguments: [
        #"{"question": "x", "choices": ["a", "b"], "answer": 2}"#,
        #"{"question": "x", "choices": ["a", "b"], "answer": "C"}"#,
        #"{"question": "x", "choices": ["a", "b"], "answer": -1}"#,
        #"{"question": "x", "choices": ["a", "b"], "answer": 0.5}"#,
        #"{"question": "x", "choices": ["a", "b"]}"#,
        #"{"question": "x", "choices": ["a"], "answer": 0}"#,
        #"{"question": "x", "choices": ["a", ""], "answer": 0}"#,
        #"{"choices": ["a", "b"], "answer": 0}"#,
        #"{"ctx": "x", "endings": "ab", "label": 0}"#,
        #"{"text": "x"}"#, "[1]", "{", "",
    ])
    func `rows of no known form are refused`(row: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("rows.jsonl", row + "\n")
        #expect(throws: ConfigError.self) { try ChoiceQuestion.read(path) }
    }

    @Test func `a context is cut in front, a choice never`() throws {
        let tokenizer = try Tokenizer.load(folder: Self.model)
        let question = ChoiceQuestion(
            context: "The home of Lotte, Bram and Jory is", choices: ["Millbrook", "a boat"],
            answer: 0)
        let whole = try ChoiceEncoder(tokenizer: tokenizer, contextLength: 512).encode(question)
        let short = try ChoiceEncoder(tokenizer: tokenizer, contextLength: 6).encode(question)
        for (one, other) in zip(whole, short) {
            #expect(other.tokens == one.tokens.suffix(7) && other.scored == one.scored)
        }
        #expect(throws: GenerationError.self) {
            let choice = ChoiceQuestion(
                context: "x", choices: ["one two three four five", "b"], answer: 0)
            _ = try ChoiceEncoder(tokenizer: tokenizer, contextLength: 3).encode(choice)
        }
    }
}
