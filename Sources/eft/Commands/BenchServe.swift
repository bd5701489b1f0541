// SPDX-License-Identifier: Apache-2.0
// eft bench serve: load on a server of OpenAI's interfaces, with vLLM's figures.
import EftBenchmarks
import EftCommandLine
import EftConfig
import EftFormats

#if canImport(Glibc)
    import Glibc
#endif

enum BenchServe: Command {
    static func savesWork(_ arguments: ParsedArguments) -> Bool {
        arguments.flag("save-result") || arguments.isGiven("result-filename")
    }

    static let specification = CommandSpecification(
        name: "bench serve",
        abstract: "Load a server and time its answers, as 'vllm bench serve' does.",
        discussion:
            "Prompts are random tokens, the same for the same seed. Any server that streams OpenAI's completions or "
            + "chats can be measured, over http.",
        examples: [
            Example(
                "eft bench serve --num-prompts 32 --random-input-len 128 --ignore-eos",
                "32 requests at once to http://127.0.0.1:8000"),
            Example(
                "eft bench serve --base-url http://host:9000 --request-rate 4 --max-concurrency 16",
                "four requests a second, at most 16 under way"),
        ],
        options: BenchServeOptions.all + [CommonOptions.json])

    static func run(_ arguments: ParsedArguments) throws {
        let options = try BenchServeOptions(arguments)
        var client = try options.client()
        if options.readyTimeout > 0 {
            try client.waitUntilReady(.seconds(options.readyTimeout)) { InterruptFlag.isRaised }
        }
        client.model = try options.model ?? client.firstModel()
        let prompts = try options.prompts(client)
        var run = ServingRun(try client.target.resolve())
        run.maxConcurrency = options.report.maxConcurrency
        run.timeout = options.timeout
        run.isStopped = { InterruptFlag.isRaised }
        try warmUp(run, client, prompts, options)
        let jobs = jobs(client, prompts, options)
        let date = date()
        let progress = CommonOptions.progress(arguments)
        run.progress = {
            let share = Double($0) / Double(max(jobs.count, 1))
            progress.update("loading the server", share: share, "\($0) of \(jobs.count) requests")
        }
        let result = run.run(jobs)
        progress.finish()
        guard !result.wasStopped else { throw BenchmarkStopped() }
        let report = ServingReport(
            result.outcomes, duration: result.duration, options: options.report)
        let settings = ServingSettings(
            date: date, backend: client.interface.rawValue, model: client.model,
            prompts: options.count, burstiness: options.burstiness)
        try show(report, settings, options)
    }

    private static func jobs(
        _ client: ServingClient, _ prompts: RandomPrompts, _ options: BenchServeOptions
    ) -> [ServingJob] {
        let times = ArrivalSchedule.times(
            options.count, rate: options.report.rate, burstiness: options.burstiness,
            seed: prompts.seed)
        return zip(prompts.sample(options.count), times).map { prompt, time in
            var job = client.job(prompt)
            job.arrival = time
            return job
        }
    }

    /// Sends requests that are not counted, with prompts of their own so that none is in the server's cache.
    private static func warmUp(
        _ run: ServingRun, _ client: ServingClient, _ prompts: RandomPrompts,
        _ options: BenchServeOptions
    ) throws {
        guard options.warmups > 0 else { return }
        var prompts = prompts
        prompts.seed = ~prompts.seed
        let result = run.run(prompts.sample(options.warmups).map(client.job))
        guard !result.wasStopped else { throw BenchmarkStopped() }
        if let error = result.outcomes.lazy.compactMap(\.error).first {
            throw HTTPClientError(.refused, "a request to warm up failed: \(error)")
        }
    }

    private static func show(
        _ report: ServingReport, _ settings: ServingSettings, _ options: BenchServeOptions
    ) throws {
        if options.isJSON {
            JSONOutput.print(report.node(settings, isDetailed: options.savesDetails))
        } else {
            TerminalOutput.standardOutput.writeLine(report.text)
        }
        if let path = options.resultPath(settings) {
            let node = report.node(settings, isDetailed: options.savesDetails)
            try AtomicFile.write(path, JSONWriter.text(node) + "\n")
        }
        guard let error = report.outcomes.lazy.compactMap(\.error).first else { return }
        let summary =
            "\(report.failed) of \(report.outcomes.count) requests failed, the first: \(error)"
        guard !report.completed.isEmpty else { throw HTTPClientError(.refused, summary) }
        TerminalOutput.standardError.writeLine(summary)
    }

    private static func date() -> String {
        var now = time(nil)
        var parts = tm()
        localtime_r(&now, &parts)
        var text = [CChar](repeating: 0, count: 32)
        let count = strftime(&text, text.count, "%Y%m%d-%H%M%S", &parts)
        return String(decoding: text.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
