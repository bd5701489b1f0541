// SPDX-License-Identifier: Apache-2.0
// Prompts that a model completes while it is trained, and the keys of such a run.
import EftConfig
import EftTestSupport
import Testing

@testable import EftTraining

@Suite struct RolloutDataTests {
    private static let template =
        "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}</>\n{% endfor %}"
        + "{% if add_generation_prompt %}<assistant>{% endif %}"

    private func config(_ trl: String, _ lines: String = "", entry: String = "") throws
        -> AxolotlConfig
    {
        let text = """
            base_model: b
            learning_rate: 1
            rl: grpo
            trl: {reward_command: cat\(trl)}
            micro_batch_size: 8
            datasets:
              - {path: x\(entry)}
            \(lines)
            """
        return try AxolotlConfig(ConfigCursor(YAMLParser.parse(text, file: "c.yml"), file: "c.yml"))
    }

    private func prompt(_ row: String, entry: String = "") throws -> (text: String, row: String) {
        let rig = try ConversationRig("llama3", template: Self.template)
        let config = try config("", entry: entry)
        let example = try rig.answers(config, row)
        #expect(example.trainedTokens == 0)
        return (try rig.tokenizer.decode(example.tokens), try #require(example.row))
    }

    @Test(arguments: ["", ", type: chat_template"])
    func `a prompt is a text, or messages up to the last question`(_ entry: String) throws {
        let chat = "<|bos|><user>q</>\n<assistant>"
        let rows = [
            #"{"prompt": [{"role": "user", "content": "q"}], "answer": 4}"#,
            #"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "answer": 4}"#,
        ]
        for row in rows {
            let found = try prompt(row, entry: entry)
            #expect(found.text == chat)
            let told = ConfigCursor(try JSONParser.parse(found.row))
            #expect(try told.required("answer").int() == 4)
            #expect(try told.required("prompt").elements().count == 1)
        }
        let plain = try prompt(#"{"prompt": "Once", "k": [1, 2]}"#, entry: entry)
        #expect(plain.text.hasSuffix("Once"))
        #expect(plain.row == #"{"prompt": "Once", "k": [1, 2]}"#)
    }

    @Test func `rows and types that hold no prompt are named`() throws {
        for row in [#"{"text": "t"}"#, #"{"messages": [{"role": "assistant", "content": "a"}]}"#] {
            #expect(throws: ConfigError.self) { try prompt(row) }
        }
        let error = try #require(throws: ConfigError.self) {
            try prompt(#"{"prompt": "p"}"#, entry: ", type: rewards.to_prompt")
        }
        #expect(error.description.contains("functions of Python"))
    }

    @Test func `defaults are TRL's`() throws {
        let settings = try #require(try config("").training.rollouts)
        #expect(settings.numGenerations == 8 && settings.maxCompletionLength == 256)
        #expect(settings.beta == 0 && settings.epsilon == 0.2 && settings.epsilonHigh == 0.2)
        #expect(settings.lossType == .dapo && settings.scaling == .group)
        #expect(settings.numIterations == 1 && settings.temperature == 1 && settings.topP == 1)
        let given = try config(
            ", num_generations: 4, scale_rewards: false, loss_type: bnpo, epsilon: 0.1, top_k: 5, use_vllm: true"
        )
        #expect(given.training.rollouts?.scaling == RolloutSettings.Scaling.none)
        #expect(given.training.rollouts?.epsilonHigh == 0.1)
        #expect(given.notices.contains { $0.contains("trl.use_vllm") })
    }

    @Test func `a step takes the prompts that its completions come from`() throws {
        let settings = try config(
            ", num_generations: 4, num_iterations: 2",
            "gradient_accumulation_steps: 2\nmax_steps: 6"
        ).training
        let plan = try BatchPlan(lengths: [Int](repeating: 5, count: 8), settings: settings)
        #expect(plan.steps.map { $0.map(\.count) } == [[Int]](repeating: [4], count: 6))
        #expect(plan.steps[0] == plan.steps[1] && plan.steps[1] != plan.steps[2])
        #expect(plan.stepsPerEpoch == 4)
    }

    @Test(arguments: [
        (", reward_funcs: [rewards.f]", "", "functions of Python"),
        (", num_generations: 3", "", "no multiple"), (", beta: 0.1", "", "set adapter: lora"),
        (", loss_type: vespo", "", "there are grpo"),
        (", sync_ref_model: true", "", "remove the key"),
        (", reward_weights: [1, 2]", "", "2 weights for 1 commands"),
        (", scale_rewards: some", "", "expected group"), (", temperature: 0", "", "temperature"),
        ("", "excess_length_strategy: truncate", "prompt without its end"),
    ])
    func `what makes no sense is refused`(
        _ trl: String, _ lines: String, _ words: String
    ) throws {
        let error = try #require(throws: ConfigError.self) { try config(trl, lines) }
        #expect(error.description.contains(words), "\(error)")
    }

    @Test(arguments: [
        ("rl: grpo", "reward_command"), ("rl: grpo\ntrl: {beta: 0}", "reward_command"),
        ("trl: {beta: 0.1}", "goes with rl: grpo"), ("rl: gdpo", "not supported yet"),
    ])
    func `the block and the key belong together`(_ lines: String, _ words: String) throws {
        let text = "base_model: b\nlearning_rate: 1\ndatasets: [{path: x}]\nmicro_batch_size: 8\n"
        let error = try #require(throws: ConfigError.self) {
            try AxolotlConfig(
                ConfigCursor(YAMLParser.parse(text + lines, file: "c.yml"), file: "c.yml"))
        }
        #expect(error.description.contains(words), "\(error)")
    }
}
