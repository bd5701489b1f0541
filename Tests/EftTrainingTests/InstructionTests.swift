// SPDX-License-Identifier: Apache-2.0
// Instruction data sets, long texts and rows of tokens against what Axolotl makes of them.
import EftConfig
import EftTestSupport
import Testing

@testable import EftTraining

struct InstructionTests {
    private static func prepared(
        _ type: String, _ row: ConfigNode, trainOnInputs: Bool = false, sequenceLen: Int = 4096,
        _ rig: ConversationRig
    ) throws -> [TrainingExample] {
        let entry = ConfigCursor(["path": "x", "type": ConfigNode(type)], file: "c.yml")
        let encoder = PromptEncoder(
            sequenceLen: sequenceLen, trainOnInputs: trainOnInputs, bosID: rig.tokenizer.bosID,
            eosID: rig.tokenizer.eosID
        ) { try rig.tokenizer.encode($0, addSpecialTokens: $1) }
        let format = try DatasetRegistry.format(try DatasetEntry(entry), encoder)
        return try format.examples(ConfigCursor(row, file: "rows.jsonl"), encoder)
    }

    @Test func `ids and masks are Axolotl's`() throws {
        let document = try ConfigFile.read(Fixtures.path("instructions/cases.json"))
        let rig = try ConversationRig("llama3")
        var types: Set<String> = []
        for test in try document.required("cases").elements() {
            let type = try test.required("type").string()
            let inputs = try test.required("inputs").bool()
            let row = try test.required("row").node
            let examples = try Self.prepared(
                type, row, trainOnInputs: inputs, sequenceLen: type == "pretrain" ? 24 : 4096, rig)
            let ids = try test.required("ids").elements().map { try $0.ints() }
            #expect(examples.map { $0.tokens.map { Int($0) } } == ids, "\(type)")
            let trained = examples.map { $0.labels.map { $0 >= 0 ? "1" : "0" }.joined() }
            #expect(trained == (try test.required("trained").strings()), "\(type) \(inputs)")
            types.insert(type)
        }
        let known = Set((Instructions.names + Reflection.names + Pretraining.names))
        // Each form has its rows; styles behind a name are those of alpaca.
        #expect(known.filter { !$0.contains(":") }.subtracting(types).isEmpty)
    }

    @Test(arguments: [
        ("alpaca_w_system", #"{"instruction": "a", "output": "b"}"#, "'system'"),
        ("explainchoice", #"{"question": "a", "choices": ["b"]}"#, "'explanation'"),
        ("explainchoice", #"{"question": "a", "choices": "b", "solution": "c"}"#, "a list"),
        ("reflection", #"{"instruction": "a", "output": "b"}"#, "'reflection'"),
        ("pretrain", #"{"body": "a"}"#, "'text'"), ("oasst", #"{"INSTRUCTION": 1}"#, "a string"),
    ])
    func `rows of another form are named`(_ type: String, _ row: String, _ hint: String) throws {
        let rig = try ConversationRig("llama3")
        let error = try #require(throws: ConfigError.self) {
            try Self.prepared(type, JSONParser.parse(row), rig)
        }
        #expect(error.description.contains(hint), "\(error)")
    }

    // MARK: Rows of tokens

    private func tokenized(_ row: String) throws -> [TrainingExample] {
        let rig = try ConversationRig("llama3")
        let (_, encoder) = try rig.format(["type": "alpaca"])
        return try Tokenized().examples(
            ConfigCursor(JSONParser.parse(row), file: "rows.jsonl"), encoder)
    }

    @Test func `rows of tokens are taken as they are, without padding`() throws {
        let row =
            #"{"input_ids": [5, 6, 7, 0], "attention_mask": [1, 1, 1, 0], "labels": [-100, 6, 7, -100]}"#
        #expect(
            try tokenized(row) == [TrainingExample(tokens: [5, 6, 7], labels: [-100, 6, 7])])
    }

    @Test(arguments: [
        (#"{"input_ids": [5], "attention_mask": [1, 1], "labels": [5]}"#, "1, 2 and 1"),
        (#"{"input_ids": [-5], "attention_mask": [1], "labels": [-5]}"#, "no token"),
        (#"{"input_ids": [9000000000], "attention_mask": [1], "labels": [1]}"#, "no token"),
        (#"{"input_ids": [5], "attention_mask": [1], "labels": [6]}"#, "must be the token itself"),
        (#"{"input_ids": ["a"], "attention_mask": [1], "labels": [6]}"#, "an integer"),
    ])
    func `rows of tokens that lie are refused`(_ row: String, _ hint: String) throws {
        let error = try #require(throws: ConfigError.self) { try tokenized(row) }
        #expect(error.description.contains(hint), "\(error)")
    }
}
