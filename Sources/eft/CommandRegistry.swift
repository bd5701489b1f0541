// SPDX-License-Identifier: Apache-2.0
// All verbs.
import EftCommandLine
import EftKit

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
        ChatCommand.self,
        EvalCommand.self,
        ImatrixCommand.self,
        ServeCommand.self,
        PullCommand.self,
        ListCommand.self,
        RemoveCommand.self,
        BenchCommand.self,
    ]

    static func command(_ name: String) -> (any Command.Type)? {
        (all + BenchCommand.subcommands).first { $0.specification.name == name }
    }

    static let program = ProgramSpecification(
        name: "eft", version: EftVersion.current,
        abstract: "Fine-tune, quantize and run large language models inside the memory you have.",
        commands: all.map { command in
            let specification = command.specification
            // The verbs below 'bench' have options of their own.
            return specification.subcommands.isEmpty
                ? specification.adding(CommonOptions.assume) : specification
        },
        examples: [
            Example(
                "eft plan ./Llama-3.1-8B --memory 24GiB", "what fits, before anything is loaded"),
            Example("eft train qlora.yml --memory 16GiB", "fine-tune from an Axolotl config"),
            Example(
                "eft run -m ./Llama-3.1-8B --adapter ./outputs/qlora-out -p \"Hello\"",
                "run the base with the adapter on top"),
        ],
        date: "2026-11-29",
        environment: [
            ("EFT_MEMORY", "The value of --memory where it is not given."),
            ("EFT_THREADS", "The value of --threads where it is not given."),
            ("EFT_CACHE_DIR", "The value of --cache-dir where it is not given."),
            (
                "EFT_MODELS",
                "Folders, with colons between them, in which models are looked up by name."
            ),
            (
                "HF_HOME, HF_HUB_CACHE",
                "Where the cache of Hugging Face is, in which models and data sets are looked up by name, and to which they are fetched."
            ),
            (
                "HF_TOKEN",
                "A token of the Hugging Face hub, for private models and those with terms."
            ),
            ("HF_HUB_OFFLINE", "1: nothing is fetched from the hub."),
            (
                "HF_ENDPOINT",
                "The address of a mirror of the hub. HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE hold, too."
            ),
            (
                "EFT_CONFIG",
                "The configuration file to read instead of the user's own; none for no file."
            ),
            ("EFT_API_KEY", "A key that 'eft serve' requires, and that 'eft bench serve' sends."),
            (
                "EFT_ISA",
                "The level of the kernels: scalar, avx2, avx512, avx512_vnni or avx512_bf16; the fastest that the machine has when not set."
            ),
            ("NO_COLOR", "Text on terminals has no colours when this is set."),
        ],
        files: [
            (
                "~/.cache/huggingface/hub",
                "Models and data sets from the hub, shared with Hugging Face's own tools; 'eft list' shows them."
            ),
            (
                "~/.config/eft/config.yml",
                "Defaults of the user: memory, threads, cache-dir, models."
            ),
            (
                "~/.cache/eft",
                "Streamed layers, prepared bases and the measured speeds of the machine. All of it is made again when it is missing."
            ),
        ])
}
