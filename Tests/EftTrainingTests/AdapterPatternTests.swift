// SPDX-License-Identifier: Apache-2.0
// Patterns of lora_target_modules that are written for larger models.
import EftConfig
import EftTestSupport
import Testing

struct AdapterPatternTests {
    @Test(arguments: [
        #"'model.language_model.layers.[\d]+.(mlp|self_attn).(up|q|v)_proj'"#,
        #"'model.text_model.layers.[\d]+.(mlp|self_attn).(up|q|v)_proj'"#,
    ])
    func `patterns for a decoder within a larger model mean the same layers`(
        _ pattern: String
    ) throws {
        let folder = try SmallJob.workplace()
        let plain = try SmallJob.config(
            folder, targets: #"'model.layers.[\d]+.(mlp|self_attn).(up|q|v)_proj'"#, output: "a")
        let other = try SmallJob.config(folder, targets: pattern, output: "b")
        let losses = try SmallJob.losses(SmallJob.job(plain, folder))
        #expect(try SmallJob.losses(SmallJob.job(other, folder)) == losses)
        // PEFT finds the layers by what is saved.
        let saved = try ConfigFile.read(folder.file("b/adapter_config.json"))
        let names = try saved.required("target_modules").strings()
        #expect(names.count == 3 * SmallJob.layers)
        #expect(names.contains("model.layers.0.self_attn.q_proj"))
    }
}
