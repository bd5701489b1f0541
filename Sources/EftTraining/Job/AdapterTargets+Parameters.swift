// SPDX-License-Identifier: Apache-2.0
// The parameters of experts that lora_target_parameters means.
import EftConfig
import EftModels

extension AdapterTargets {
    /// The parameters that `lora_target_parameters` means; none in a model without experts.
    /// - Throws: `TrainingError` (`configuration`) for names that mean none, and for what PEFT does not have on parameters.
    static func stacked(
        _ settings: AdapterSettings, _ description: DecoderDescription
    ) throws -> StackedAdapters {
        let names = settings.targetParameters
        guard names.isEmpty || description.takesStackedAdapters else {
            throw TrainingError(
                .configuration,
                "lora_target_parameters is not supported for \(description.architecture); name linear layers in "
                    + "lora_target_modules")
        }
        let all = (0..<description.layers).flatMap { StackedAdapter.all(description, layer: $0) }
        guard let first = all.first, !names.isEmpty else { return StackedAdapters([], description) }
        if let stranger = names.first(where: { name in !all.contains { $0.isMeant(by: name) } }) {
            let known = all.filter { $0.module == first.module }.map(\.parameter)
            throw TrainingError(
                .configuration,
                "lora_target_parameters names '\(excerpt(stranger))', which no layer has; the experts have "
                    + known.joined(separator: " and ")
                    + ", or the ends of these names; linear layers stand in lora_target_modules")
        }
        let others: [(Bool, String)] = [
            (settings.dropout > 0, "lora_dropout; set it to 0"),
            (settings.usesDora, "peft_use_dora; leave it out"),
            (settings.layersToTransform != nil, "peft_layers_to_transform; leave it out"),
            (
                ![.uniform, .random, .gaussian].contains(settings.initialization),
                "this peft_init_lora_weights; it goes with true, false and gaussian"
            ),
        ]
        if let other = others.first(where: \.0)?.1 {
            throw TrainingError(
                .configuration, "lora_target_parameters does not go with \(other)")
        }
        return StackedAdapters(names, description)
    }
}
