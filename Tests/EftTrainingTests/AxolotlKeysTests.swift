// SPDX-License-Identifier: Apache-2.0
// Keys that have no effect, and keys that nobody knows.
import EftConfig
import EftFormats
import EftTestSupport
import EftTraining
import Testing

@Suite struct AxolotlKeysTests {
    private func notices(_ lines: String) throws -> [String] {
        let text =
            "base_model: base\nlearning_rate: 1e-3\ndatasets: [{path: rows.jsonl, type: alpaca}]\n"
            + lines
        return try AxolotlConfig(ConfigCursor(YAMLParser.parse(text, file: "c.yml"), file: "c.yml"))
            .notices
    }

    @Test func `keys without effect are listed once, together`() throws {
        let lines = """
            deepspeed: ds.json
            fsdp: [full_shard]
            wandb_project: mine
            wandb_entity:
            hub_model_id: me/model
            flash_attention: true
            xformers_attention: false
            """
        let notices = try notices(lines)
        try #require(notices.count == 2)
        #expect(notices[0].hasPrefix("nothing is sent") && notices[0].hasSuffix(": wandb_project"))
        #expect(notices[1].hasSuffix(": deepspeed, fsdp, hub_model_id, flash_attention"))
    }

    @Test func `every key has one treatment, and names are those of the options`() {
        #expect(AxolotlConfig.keys.count > 350)
        #expect(Set(AxolotlConfig.keys).count == AxolotlConfig.keys.count)
        #expect(AxolotlConfig.booleanKeys.isSubset(of: AxolotlConfig.keys))
        #expect(AxolotlConfig.isKey("learning_rate") && AxolotlConfig.isKey("ring_attn_func"))
        #expect(!AxolotlConfig.isKey("memry") && !AxolotlConfig.isKey(""))
        for key in AxolotlConfig.keys {
            #expect(key.utf8.allSatisfy { $0 != UInt8(ascii: "-") && $0 < 0x80 }, "\(key)")
        }
    }

    @Test func `that the base is GPTQ need not be said`() throws {
        #expect(try notices("gptq: true") == [])
    }
}

@Suite struct PreparedExamplesTests {
    @Test func `segments tell masked from trained text, and add up to the example`() throws {
        let folder = try SmallJob.workplace()
        let examples = try PreparedExamples(SmallJob.config(folder))
        let job = try SmallJob.job(SmallJob.config(folder), folder)
        #expect(examples.data.train == job.data.train)
        for example in examples.data.train {
            let segments = try examples.segments(of: example)
            #expect(segments.map(\.isTrained) == [false, true])
            #expect(segments.map(\.count).reduce(0, +) == example.tokens.count)
            #expect(segments[1].count == example.trainedTokens)
            #expect(segments[0].text.hasSuffix("### Response:\n"))
            let tokens = try examples.tokens(of: example)
            #expect(tokens.map(\.id) == example.tokens && tokens.map(\.label) == example.labels)
            #expect(tokens.map(\.text).joined() == segments.map(\.text).joined())
        }
    }

    @Test func `data is prepared without the weights of the model`() throws {
        let folder = try SmallJob.workplace()
        let config = try SmallJob.config(folder)
        let expected = try PreparedExamples(config)
        try FileSystem.remove(folder.file("base/model.safetensors"))
        #expect(try PreparedExamples(config).data.train == expected.data.train)
        #expect(throws: (any Error).self) { try BaseModel(config) }
    }
}
