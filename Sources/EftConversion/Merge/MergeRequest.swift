// SPDX-License-Identifier: Apache-2.0
// What a training configuration says about the merge of its adapter.
import EftConfig
import EftFormats

/// Base, adapter and output of a merge.
package struct MergeRequest: Sendable, Hashable {
    /// The base model's folder.
    package var base: String
    /// The adapter's folder.
    package var adapter: String
    /// Where the merged model goes.
    package var output: String

    /// Reads a training configuration: `base_model`, `lora_model_dir` or `output_dir`.
    ///
    /// The output is the folder `merged` inside `output_dir`, as in Axolotl.
    /// - Throws: `ConfigError`.
    package init(_ config: ConfigCursor) throws(ConfigError) {
        base = try config.required("base_model").string()
        let output = try config.string("output_dir", default: "./model-out")
        let folder = try config.string("lora_model_dir", default: "")
        adapter = folder.isEmpty ? output : folder
        self.output = FileSystem.join(output, "merged")
    }

    /// Names the folders.
    package init(base: String, adapter: String, output: String) {
        self.base = base
        self.adapter = adapter
        self.output = output
    }
}
