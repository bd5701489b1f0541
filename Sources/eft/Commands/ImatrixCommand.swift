// SPDX-License-Identifier: Apache-2.0
// eft imatrix: how much each input of each weight matters on a text.
import EftCommandLine
import EftConfig
import EftConversion
import EftFormats
import EftGeneration
import EftModels
import EftTokenizers

enum ImatrixCommand: Command {
    static let specification = CommandSpecification(
        name: "imatrix",
        abstract: "Measure how much each input of each weight matters on a text, for GGUF files.",
        discussion:
            "Writes an importance matrix as llama-imatrix does: for each weight of a GGUF file the sum of the squares of each of "
            + "its inputs, and for how many tokens; each expert of a mixture has its own. 'eft convert --imatrix' and llama-quantize "
            + "read it. The text is cut into chunks, each begins with the model's first token where it has one, and a last chunk "
            + "that is not full is left out. Layers that do not fit --memory are streamed.",
        examples: [
            Example(
                "eft imatrix -m ./model -f calibration.txt -o imatrix.gguf",
                "then: eft convert ./model model.gguf --type q4_k_m --imatrix imatrix.gguf"),
            Example(
                "eft imatrix -m ./model -f calibration.txt --chunks 100", "no more than 100 chunks"),
        ],
        options: [
            CommonOptions.model, CommonOptions.adapter, CommonOptions.fourBits,
            CommonOptions.eightBits, CommonOptions.cacheFolder,
            OptionSpecification(
                "-f", "--file", kind: .value("FILE"),
                help: "a UTF-8 text, or .jsonl or .parquet rows with a text", isRequired: true,
                completion: .file),
            OptionSpecification(
                "-o", "--output", kind: .value("FILE"), help: "the file to write",
                defaultText: "imatrix.gguf", completion: .file),
            OptionSpecification(
                "-c", "--ctx-size", kind: .value("N"), help: "tokens of a chunk",
                defaultText: "512"),
            OptionSpecification(
                "--chunks", kind: .value("N"), help: "the most chunks to read", defaultText: "all"),
        ] + DeviceBudget.options + [
            CommonOptions.threads, CommonOptions.precision, CommonOptions.json,
        ])

    static func run(_ arguments: ParsedArguments) throws {
        let isJSON = arguments.flag("json")
        let progress = CommonOptions.progress(arguments)
        let model = try LoadedModel(arguments)
        let text = try arguments.required("file")
        let output = arguments.string("output") ?? "imatrix.gguf"
        let chunks = try chunks(text, model.tokenizer, arguments)
        let length = chunks[0].count
        let plan = model.planner(
            for: .evaluation,
            reserving: ImportanceCollector.byteCount(model.folder.description) + headBytes
        ).evaluate(
            name: "imatrix", layouts: model.layouts, adapters: model.adapterExtents,
            load: try model.loader.loadNeed(), rows: length)
        let streaming = try model.streaming(plan)
        let budget = model.budget(plan, streaming)
        try budget.announce(quiet: isJSON)
        let collector = try ImportanceCollector(
            model.folder, output: output, backend: model.devices[0])
        let (decoder, slots) = try model.load(plan, streaming, quiet: isJSON)
        let pass = try ObservationPass(decoder: decoder, rows: length)
        for (index, chunk) in chunks.enumerated() {
            guard !InterruptFlag.isRaised else { throw Interruption(description: "interrupted") }
            progress.update(
                "reading", share: Double(index) / Double(chunks.count),
                "chunk \(index + 1) of \(chunks.count)")
            try pass.run(chunk, slots: slots) { collector.add($0, $1) }
        }
        try collector.write(
            text: FileSystem.name(of: text), chunks: chunks.count, length: length)
        progress.clear()
        show(output, chunks.count, length, budget, isJSON: isJSON)
    }

    /// What was measured to be taken by putting a file's head together and reading it, outside of the ledgers.
    private static let headBytes = 896 << 10

    /// The chunks, all of one length.
    private static func chunks(
        _ text: String, _ tokenizer: Tokenizer, _ arguments: ParsedArguments
    ) throws -> [[Int32]] {
        let length = try arguments.int("ctx-size", default: 512, in: 2...(1 << 20))
        let most = try arguments.int("chunks", default: .max, in: 1...Int.max)
        let tokens = try EvaluationText.tokens(text, tokenizer: tokenizer)
        let first = try tokenizer.encode("", addSpecialTokens: true).first
        let windows = try EvaluationText.windows(tokens, length: length)
        let whole = windows.filter { $0.count == length }
        return (whole.isEmpty ? [windows[0]] : whole).prefix(most).map { window in
            var chunk = Array(tokens[window])
            if let first, first == tokenizer.bosID { chunk[0] = first }
            return chunk
        }
    }

    private static func show(
        _ output: String, _ chunks: Int, _ length: Int, _ budget: Budget, isJSON: Bool
    ) {
        guard isJSON else {
            TerminalOutput.standardOutput.writeLine(
                "wrote \(output): \(chunks) chunks of \(length) tokens")
            TerminalOutput.standardError.writeLine(budget.outcome)
            return
        }
        var object = ConfigObject()
        object["output"] = ConfigNode(output)
        object["chunks"] = ConfigNode(chunks)
        object["chunk_size"] = ConfigNode(length)
        object["peak_memory_planned"] = ConfigNode(budget.peaks.planned)
        object["peak_memory_measured"] = ConfigNode(budget.peaks.measured)
        JSONOutput.print(ConfigNode(.object(object)))
    }
}
