// SPDX-License-Identifier: Apache-2.0
// eft eval: perplexity of a text, also beside a reference; questions; rewards.
import EftCommandLine

enum EvalCommand: Command {
    static let specification = CommandSpecification(
        name: "eval",
        abstract: "Score a text or questions, and tell how far a model is from its original.",
        discussion:
            "--data: the file is tokenized once, with the special tokens that the tokenizer adds, and cut into "
            + "consecutive windows; each is scored from its second token. --compare: both models read every "
            + "window at once, a layer of one and the same layer of the other; layers that do not fit --memory are "
            + "streamed. The divergence is KL(reference || model) in nats; agreement is the share of tokens for "
            + "which both models hold the same token for the likeliest, and the mean share of the reference's five "
            + "likeliest tokens that are among the model's five; the error after a layer is the Frobenius norm of "
            + "the difference of its outputs over that of the reference's. Adapters and --kv-cache-dtype concern "
            + "the model alone. --tasks: "
            + "rows with question, choices and answer, with query, choices and gold, or as HellaSwag has them; the "
            + "accuracies are those of lm-evaluation-harness without examples in front. --rewards: what a reward "
            + "model says of rows with chosen and rejected, messages, a prompt and a completion, or a text; a process "
            + "reward model takes a prompt and completions. The scores of a row are a line of JSON each.",
        examples: [
            Example(
                "eft eval -m ./model --data wiki.txt --length 2048", "perplexity of a base model"),
            Example(
                "eft eval -m ./base --adapter ./adapter --data test.txt --json", "with an adapter"),
            Example(
                "eft eval -m ./model-4bit --data test.txt --compare ./model",
                "what quantization has cost"),
            Example(
                "eft eval -m ./model --tasks arc_easy.jsonl",
                "accuracy on multiple-choice questions"),
            Example(
                "eft eval -m ./base --adapter ./reward-model --rewards answers.jsonl",
                "the scores of a reward model"),
        ],
        options: [
            CommonOptions.model, CommonOptions.adapter, CommonOptions.fourBits,
            CommonOptions.eightBits,
            CommonOptions.cacheFolder,
            OptionSpecification(
                "--data", kind: .value("FILE"),
                help:
                    "a UTF-8 text, or .jsonl or .parquet rows with a text, or the name of a data set on the hub whose "
                    + "rows have one: its test split where there is one", completion: .file),
            OptionSpecification(
                "--compare", kind: .value("REFERENCE"),
                help: "a model with the same tokens, usually the 16-bit original, to compare with",
                completion: .folder),
            OptionSpecification(
                "--tasks", kind: .value("FILE"),
                help: "multiple-choice questions, a JSON object on each line", completion: .file),
            OptionSpecification(
                "--rewards", kind: .value("FILE"),
                help: "texts for a model that scores, a JSON object on each line", completion: .file
            ),
            ConversationOptions.template,
            OptionSpecification(
                "--step-separator", kind: .value("TEXT"),
                help: "what stands behind each step, with --rewards", defaultText: "a line end"),
            OptionSpecification(
                "--length", kind: .value("N"),
                help: "tokens of a window, or of the questions that are read at once",
                defaultText: "2048, or the context of a model with learned positions"),
            OptionSpecification(
                "--kv-cache-dtype", kind: .value("TYPE"),
                help:
                    "with --data, hold the model's keys and values as a run with such a cache does",
                defaultText: "f32", choices: CommonOptions.kvType.choices),
        ] + DeviceBudget.options + [
            CommonOptions.threads, CommonOptions.precision, CommonOptions.json,
        ])

    static func run(_ arguments: ParsedArguments) throws {
        let scoring = Scoring(arguments)
        if arguments.isGiven("kv-cache-dtype"), !arguments.isGiven("data") {
            throw arguments.error("kv-cache-dtype", "goes with --data")
        }
        if arguments.isGiven("rewards") {
            for other in ["data", "tasks", "compare"] where arguments.isGiven(other) {
                throw arguments.error("rewards", "cannot be given together with --\(other)")
            }
            return try scoring.rewards()
        }
        for option in ["chat-template", "step-separator"] where arguments.isGiven(option) {
            throw arguments.error(option, "goes with --rewards")
        }
        switch (arguments.isGiven("data"), arguments.isGiven("tasks"), arguments.isGiven("compare"))
        {
        case (true, false, true): try scoring.comparison()
        case (true, false, false): try scoring.perplexity()
        case (false, true, false): try scoring.choices()
        case (false, true, true):
            throw arguments.error("compare", "goes with --data")
        case (true, true, _):
            throw arguments.error("tasks", "cannot be given together with --data")
        case (false, false, _):
            throw UsageError(
                "nothing to score: give a text as --data FILE, questions as --tasks FILE, or rows for a "
                    + "reward model as --rewards FILE",
                command: specification.name)
        }
    }
}
