// SPDX-License-Identifier: Apache-2.0
// The block `qat`: training with numbers that are rounded as a quantized model will have them.
import EftConfig
import EftModels

/// Quantization-aware training, as Axolotl has it by torchao.
package struct QuantizationAwareSettings: Sendable, Hashable {
    /// What is rounded.
    package var rounding: FakeQuantization
    /// Steps before rounding begins.
    package var afterSteps = 0

    /// Reads the block; nil when there is none.
    /// - Parameter notices: takes lines for unknown keys.
    /// - Throws: `ConfigError` for types that are not supported.
    static func read(
        _ config: ConfigCursor, _ notices: inout [String]
    ) throws(ConfigError) -> QuantizationAwareSettings? {
        guard let block = try config.optional("qat"), block.asksForSomething else { return nil }
        let keys = [
            "activation_dtype", "weight_dtype", "quantize_embedding", "group_size",
            "fake_quant_after_n_steps",
        ]
        notices += try block.unknownKeys(known: keys).map { "\($0); it is ignored" }
        try requireInt4(block)
        let inputs = try block.text("activation_dtype")
        guard inputs == nil || inputs == "int8" else {
            throw try block.required("activation_dtype").error(
                .badValue,
                "'\(excerpt(inputs ?? ""))' is not supported; there is int8, or none for activations as they are"
            )
        }
        var settings = QuantizationAwareSettings(
            rounding: FakeQuantization(
                groupSize: try block.lenientInt("group_size", in: 2...(1 << 20)) ?? 32,
                roundsInputs: inputs != nil,
                roundsEmbedding: try block.lenientBool("quantize_embedding") ?? false))
        settings.afterSteps =
            try block.lenientInt("fake_quant_after_n_steps", in: 0...BatchPlan.mostSteps) ?? 0
        return settings
    }

    private static func requireInt4(_ block: ConfigCursor) throws(ConfigError) {
        let key = "weight_dtype"
        guard let type = try block.text(key) else {
            throw block.error(
                .badValue,
                "weight_dtype is missing, and Axolotl's default int8 is refused by Axolotl too; set int4"
            )
        }
        switch type {
        case "int4": return
        case "int8":
            throw try block.required(key).error(
                .badValue, "int8 weights are refused by Axolotl too; set int4")
        case "float8_e4m3fn", "fp8", "float8", "nvfp4", "mxfp4", "ternary":
            throw try block.required(key).error(
                .badValue, "training for \(type) is not supported; there is int4")
        default:
            throw try block.required(key).error(
                .badValue, "'\(excerpt(type))' is no type of weights; there is int4")
        }
    }

    /// Whether numbers are rounded in a step, counted from 0.
    package func isOn(step: Int) -> Bool { step >= afterSteps }
}

extension AxolotlConfig {
    /// Reads the block and checks it against the rest.
    /// - Throws: `ConfigError` for runs other than training all weights on texts.
    mutating func settleQuantization() throws(ConfigError) {
        guard let settings = try QuantizationAwareSettings.read(document, &notices) else { return }
        let block = try document.required("qat")
        guard adapter == nil else {
            throw block.error(
                .badValue,
                "trains all weights and does not go with an adapter; remove adapter or qat")
        }
        guard unfrozen == nil else {
            throw block.error(
                .badValue, "trains all weights; remove unfrozen_parameters or qat")
        }
        guard training.preferences == nil, training.scoring == nil, training.rollouts == nil else {
            throw block.error(
                .badValue,
                "is for training on texts; it does not go with rl and reward models")
        }
        training.quantizationAware = settings
    }
}
