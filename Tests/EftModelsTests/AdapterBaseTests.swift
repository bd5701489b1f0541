// SPDX-License-Identifier: Apache-2.0
// Which base an adapter stands on, by what lies beside it.
import EftConfig
import EftModels
import EftTestSupport
import Testing

@Suite struct AdapterBaseTests {
    /// A folder with an adapter folder `a`, and files in it.
    private func adapter(_ files: [String: String]) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        for (name, text) in files {
            try folder.makeFolder(for: name)
            try folder.write(name, text)
        }
        return folder
    }

    private static let card = """
        ---
        library_name: peft
        tags: [axolotl]
        ---
        A model.

        ```yaml
        base_model: some/model
        adapter: qlora
        load_in_4bit: true
        ```
        """

    @Test(arguments: [
        ("a/axolotl_config.yml", "adapter: qlora\nload_in_4bit: true\n", true),
        ("a/axolotl_config.yml", "adapter: qlora\n", true),
        ("a/axolotl_config.yml", "adapter: lora\n", false),
        ("a/axolotl_config.yml", "adapter: lora\nload_in_4bit: \"true\"\n", true),
        ("a/README.md", card, true),
        ("a/config.json", "{\"quantization_config\": {\"load_in_4bit\": true}}", true),
    ])
    func `the record beside an adapter decides`(
        _ name: String, _ text: String, _ expected: Bool
    ) throws {
        let folder = try adapter([name: text])
        let base = try AdapterBase(adapters: [folder.file("a")], option: nil)
        #expect((base.form == .nf4) == expected)
        #expect(base.reason == .record(String(name.dropFirst(2))))
        #expect((base.sentence == nil) == !expected)
    }

    @Test(arguments: [
        ("a/axolotl_config.yml", "adapter: lora\nload_in_8bit: true\n"),
        (
            "a/config.json",
            "{\"quantization_config\": {\"load_in_4bit\": false, \"load_in_8bit\": true}}"
        ),
    ])
    func `a base of 8 bits is held so again`(_ name: String, _ text: String) throws {
        let folder = try adapter([name: text, "b/axolotl_config.yml": "adapter: qlora\n"])
        let base = try AdapterBase(adapters: [folder.file("a")], option: nil)
        #expect(base.form == .int8)
        #expect(try #require(base.sentence).contains("--no-load-in-8bit"))
        #expect(try #require(base.mergeSentence).contains("base as stored"))
        for option in [BaseForm.stored, .nf4] {
            let other = try AdapterBase(adapters: [folder.file("a")], option: option)
            #expect(other.form == option)
            #expect(try #require(other.sentence).contains("trained on it in 8 bits"))
        }
        let both = try AdapterBase(adapters: [folder.file("a"), folder.file("b")], option: nil)
        #expect(both.form == .stored && both.reason == .mixed)
    }

    @Test func `a checkpoint follows the run that it belongs to`() throws {
        let folder = try adapter([
            "a/axolotl_config.yml": "adapter: qlora\n", "a/checkpoint-10/x": "",
            "a/other/x": "",
        ])
        #expect(
            try AdapterBase(adapters: [folder.file("a/checkpoint-10")], option: nil).form == .nf4)
        #expect(try AdapterBase(adapters: [folder.file("a/other")], option: nil).form == .stored)
    }

    @Test(arguments: [
        "a/README.md", "a/config.json",
    ])
    func `files without a record leave the base as stored`(_ name: String) throws {
        let folder = try adapter([name: "{\"model_type\": \"llama\"}\n```yaml\n- [\n```\n"])
        let base = try AdapterBase(adapters: [folder.file("a")], option: nil)
        #expect(base.form == .stored)
        #expect(base.reason == .nothing)
        #expect(base.sentence == nil && base.mergeSentence == nil)
    }

    @Test func `an option goes before the record, and says so`() throws {
        let folder = try adapter(["a/axolotl_config.yml": "adapter: qlora\n"])
        let stored = try AdapterBase(adapters: [folder.file("a")], option: .stored)
        #expect(stored.form == .stored)
        #expect(try #require(stored.sentence).contains("differ"))
        let held = try AdapterBase(adapters: [folder.file("a")], option: .nf4)
        #expect(held.form == .nf4 && held.sentence == nil)
        #expect(try AdapterBase(adapters: [], option: .nf4).form == .nf4)
        #expect(try AdapterBase(adapters: [], option: nil).form == .stored)
    }

    @Test(arguments: [
        ("adapter: qlora\n", true),
        ("adapter: qlora\nbnb_config_kwargs: {bnb_4bit_use_double_quant: false}\n", false),
    ])
    func `scales are quantized as in training`(_ text: String, _ expected: Bool) throws {
        let folder = try adapter(["a/axolotl_config.yml": text])
        for option in [nil, BaseForm.nf4] {
            let base = try AdapterBase(adapters: [folder.file("a")], option: option)
            #expect(base.form == .nf4 && base.doubleQuantization == expected)
        }
        let other = try adapter([
            "a/axolotl_config.yml": text, "b/axolotl_config.yml": "adapter: qlora\n",
        ])
        let both = try AdapterBase(
            adapters: [other.file("a"), other.file("b")], option: nil)
        #expect((both.form == .nf4) == expected)
    }

    @Test func `the merge names the better way before a quantization`() throws {
        let folder = try adapter(["a/axolotl_config.yml": "adapter: qlora\n"])
        let base = try AdapterBase(adapters: [folder.file("a")], option: nil)
        #expect(try #require(base.mergeSentence).contains("--no-load-in-4bit"))
    }

    @Test func `adapters that were trained differently leave the base as stored`() throws {
        let folder = try adapter([
            "a/axolotl_config.yml": "adapter: qlora\n", "b/axolotl_config.yml": "adapter: lora\n",
            "c/x": "",
        ])
        for other in ["b", "c"] {
            let base = try AdapterBase(
                adapters: [folder.file("a"), folder.file(other)], option: nil)
            #expect(base.form == .stored)
            #expect(base.reason == .mixed)
            #expect(try #require(base.sentence).contains("--load-in-4bit"))
        }
    }

    @Test func `a configuration that is named decides where nothing lies beside the adapter`()
        throws
    {
        let folder = try adapter(["a/x": "", "b/axolotl_config.yml": "adapter: lora\n"])
        let config = ConfigCursor(
            try YAMLParser.parse("adapter: qlora\n", file: "c.yml"), file: "c.yml")
        let base = try AdapterBase(
            adapters: [folder.file("a")], option: nil, configuration: config)
        #expect(base.form == .nf4)
        #expect(base.reason == .record("c.yml"))
        #expect(
            try AdapterBase(adapters: [folder.file("b")], option: nil, configuration: config).form
                == .stored
        )
    }
}
