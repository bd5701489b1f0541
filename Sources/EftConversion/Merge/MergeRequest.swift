// SPDX-License-Identifier: Apache-2.0
// What a training configuration says about the merge of its adapter.
import EftConfig
import EftFormats

/// Base, adapter and output of a merge, and whether training held the base in NF4.
package struct MergeRequest: Sendable, Hashable {
    /// The base model's folder.
    package var base: String
    /// The adapter's folder.
    package var adapter: String
    /// Where the merged model goes.
    package var output: String
    /// Whether training held the linear layers in NF4.
    package var heldInNF4: Bool

    /// The name under which training keeps its configuration beside the adapter.
    package static let configName = "axolotl_config.yml"

    /// Reads a training configuration: `base_model`, `lora_model_dir` or `output_dir`, `load_in_4bit`.
    ///
    /// The output is the folder `merged` inside `output_dir`, as in Axolotl.
    /// - Throws: `ConfigError`.
    package init(config path: String) throws(ConfigError) {
        let config = try ConfigFile.read(path)
        base = try config.required("base_model").string()
        let output = try config.string("output_dir", default: "./model-out")
        adapter = try config.string("lora_model_dir", default: output)
        self.output = FileSystem.join(output, "merged")
        heldInNF4 = try MergeRequest.heldInNF4(config)
    }

    /// Names the folders; asks the configuration beside the adapter, if there is one, how the base was held.
    /// - Throws: `ConfigError`.
    package init(base: String, adapter: String, output: String) throws(ConfigError) {
        self.base = base
        self.adapter = adapter
        self.output = output
        let path = FileSystem.join(adapter, MergeRequest.configName)
        heldInNF4 =
            FileSystem.exists(path) ? try MergeRequest.heldInNF4(ConfigFile.read(path)) : false
    }

    private static func heldInNF4(_ config: ConfigCursor) throws(ConfigError) -> Bool {
        let kind = try config.string("adapter", default: "")
        return try config.bool("load_in_4bit", default: kind == "qlora")
    }
}
