// SPDX-License-Identifier: Apache-2.0
// All verbs.
import EftCommandLine

enum CommandRegistry {
    /// One line for each file in `Commands/`.
    static let all: [any Command.Type] = [
        PlanCommand.self,
        InspectCommand.self,
        TrainCommand.self,
        PreprocessCommand.self,
        InferenceCommand.self,
        EvaluateCommand.self,
        MergeLoraCommand.self,
        ConvertCommand.self,
        MergeCommand.self,
        QuantizeCommand.self,
        RunCommand.self,
        EvalCommand.self,
        ServeCommand.self,
        BenchCommand.self,
    ]

    static func command(_ name: String) -> (any Command.Type)? {
        (all + BenchCommand.subcommands).first { $0.specification.name == name }
    }

    static let program = ProgramSpecification(
        name: "eft", version: "0.1.0",
        abstract: "Fine-tune, quantize and run large language models inside the memory you have.",
        commands: all.map { $0.specification },
        examples: [
            Example(
                "eft plan ./Llama-3.1-8B --memory 24GiB", "what fits, before anything is loaded"),
            Example("eft train qlora.yml --memory 16GiB", "fine-tune from an Axolotl config"),
            Example(
                "eft run -m ./Llama-3.1-8B --adapter ./outputs/qlora-out -p \"Hello\"",
                "run the base with the adapter on top"),
        ])
}
