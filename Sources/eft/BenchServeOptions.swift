// SPDX-License-Identifier: Apache-2.0
// What `bench serve` is asked for on the command line, under vLLM's names.
import EftBenchmarks
import EftCommandLine
import EftFormats
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// The options of `bench serve`.
struct BenchServeOptions {
    let count: Int
    let burstiness: Double
    let warmups: Int
    let readyTimeout: Int
    /// Seconds after which a request is given up.
    let timeout: Double
    let model: String?
    let report: ServingReport.Options
    private let arguments: ParsedArguments

    static let all =
        [
            OptionSpecification(
                "--backend", kind: .value("WORD"), help: "the interface that is asked",
                defaultText: "openai", choices: ServingClient.Interface.allCases.map(\.rawValue)),
            OptionSpecification(
                "--base-url", kind: .value("URL"), help: "the server, instead of --host and --port"),
            OptionSpecification(
                "--host", kind: .value("HOST"), help: "the server", defaultText: "127.0.0.1"),
            OptionSpecification(
                "--port", kind: .value("N"), help: "its port", defaultText: "8000"),
            OptionSpecification(
                "--endpoint", kind: .value("PATH"), help: "where requests go",
                defaultText: "/v1/completions or /v1/chat/completions"),
            OptionSpecification(
                "-m", "--model", kind: .value("NAME"), help: "the model's name there",
                defaultText: "the first that the server lists"),
            OptionSpecification(
                "--api-key", kind: .value("KEY"),
                help: "what requests show; also from the environment's EFT_API_KEY"),
            OptionSpecification(
                "--dataset-name", kind: .value("WORD"), help: "what prompts are made of",
                defaultText: "random", choices: ["random"]),
            BenchOptions.prompts,
            OptionSpecification(
                "--vocab-size", kind: .value("N"), help: "token ids are below this",
                defaultText: "asked of the server"),
            OptionSpecification(
                "--request-rate", kind: .value("R"),
                help: "requests a second, or inf for all at once",
                defaultText: "inf"),
            OptionSpecification(
                "--burstiness", kind: .value("SHAPE"),
                help:
                    "shape of the gamma distribution of gaps: 1 is a Poisson process, less is burstier",
                defaultText: "1"),
            OptionSpecification(
                "--max-concurrency", kind: .value("N"), help: "most requests under way",
                defaultText: "no bound"),
            OptionSpecification(
                "--num-warmups", kind: .value("N"), help: "requests before that are not counted",
                defaultText: "0"),
            OptionSpecification("--ignore-eos", help: "let answers go on behind an end token"),
            OptionSpecification(
                "--temperature", kind: .value("T"), help: "chance in the answers", defaultText: "0"),
            OptionSpecification(
                "--percentile-metrics", kind: .value("LIST"),
                help: "times with a section of their own, of ttft, tpot, itl, e2el",
                defaultText: "ttft,tpot,itl"),
            OptionSpecification(
                "--metric-percentiles", kind: .value("LIST"), help: "their percentiles",
                defaultText: "99"),
            OptionSpecification(
                "--goodput", kind: .repeated("TIME:MS"),
                help: "what a good request keeps, such as ttft:200, tpot:50 or e2el:5000"),
            OptionSpecification("--save-result", help: "write the figures to a JSON file"),
            OptionSpecification("--save-detailed", help: "with those of each request"),
            OptionSpecification(
                "--result-dir", kind: .value("DIR"), help: "where to", defaultText: ".",
                completion: .folder),
            OptionSpecification(
                "--result-filename", kind: .value("FILE"), help: "under which name",
                defaultText: "made of backend, rate, model and time", completion: .file),
            OptionSpecification(
                "--ready-check-timeout-sec", kind: .value("SECONDS"),
                help: "how long to wait for the server to answer", defaultText: "0"),
            OptionSpecification(
                "--request-timeout", kind: .value("SECONDS"),
                help: "after which a request counts as failed", defaultText: "21600"),
            BenchOptions.seed,
        ] + RandomLengths.options

    init(_ arguments: ParsedArguments) throws {
        self.arguments = arguments
        count = try arguments.int("num-prompts", default: 1000, in: 1...1_000_000)
        burstiness = try arguments.double("burstiness", default: 1, in: 1e-3...1e6)
        warmups = try arguments.int("num-warmups", default: 0, in: 0...1_000_000)
        readyTimeout = try arguments.int("ready-check-timeout-sec", default: 0, in: 0...86400)
        timeout = try arguments.double("request-timeout", default: 21600, in: 0.001...1e7)
        model = arguments.string("model")
        report = try BenchServeOptions.report(arguments)
    }

    private static func report(_ arguments: ParsedArguments) throws -> ServingReport.Options {
        var options = ServingReport.Options()
        options.maxConcurrency = try arguments.int("max-concurrency", in: 1...65536)
        if arguments.string("request-rate", default: "inf") != "inf" {
            options.rate = try arguments.double("request-rate", in: 1e-6...1e6)
        }
        if let names = try arguments.list("percentile-metrics") {
            options.metrics = try names.map { name in
                guard let metric = ServingMetric(rawValue: name) else {
                    throw arguments.error(
                        "percentile-metrics",
                        "takes ttft, tpot, itl, e2el; found '\(name.prefix(80))'")
                }
                return metric
            }
        }
        if let numbers = try arguments.list("metric-percentiles") {
            options.percentiles = try numbers.map { text in
                guard let percent = Double(text), (0...100).contains(percent) else {
                    throw arguments.error(
                        "metric-percentiles",
                        "takes numbers from 0 to 100; found '\(text.prefix(80))'")
                }
                return percent
            }
        }
        var goals: [ServingMetric: Double] = [:]
        for text in arguments.strings("goodput").flatMap({ $0.split(separator: ",") }) {
            guard let (metric, limit) = ServingGoals.parse(String(text)) else {
                throw arguments.error(
                    "goodput",
                    "takes ttft, tpot or e2el and milliseconds, such as ttft:200; found "
                        + "'\(text.prefix(80))'")
            }
            goals[metric] = limit
        }
        options.goals = ServingGoals(goals)
        return options
    }

    /// How the server is asked.
    func client() throws -> ServingClient {
        let port = try arguments.int("port", default: 8000, in: 1...65535)
        var target =
            try arguments.string("base-url").map { try ServerTarget(url: $0) }
            ?? ServerTarget(
                host: arguments.string("host", default: "127.0.0.1"),
                port: UInt16(truncatingIfNeeded: port))
        let variable = getenv("EFT_API_KEY").map { String(cString: $0) }
        target.key = (arguments.string("api-key") ?? variable).flatMap { $0.isEmpty ? nil : $0 }
        guard ServerTarget.isPlain(target.key ?? "") else {
            throw arguments.error("api-key", "has signs that no header can hold")
        }
        let interface =
            arguments.string("backend").flatMap(ServingClient.Interface.init) ?? .completions
        var client = ServingClient(target, interface)
        if let path = arguments.string("endpoint") {
            guard path.hasPrefix("/"), ServerTarget.isPlain(path) else {
                throw arguments.error("endpoint", "is a path such as /v1/completions")
            }
            client.path = path
        }
        client.ignoresEOS = arguments.flag("ignore-eos")
        client.temperature = try arguments.double("temperature", default: 0, in: 0...2)
        return client
    }

    /// How prompts are sampled.
    func prompts(_ client: ServingClient) throws -> RandomPrompts {
        var vocabulary = try arguments.int("vocab-size", in: 1...(1 << 30))
        if vocabulary == nil { vocabulary = client.vocabulary() }
        // Text needs no vocabulary.
        if vocabulary == nil, client.interface == .chat { vocabulary = 32000 }
        guard let vocabulary else {
            throw arguments.error(
                "vocab-size",
                "is needed: the server does not tell its vocabulary (GET /tokenizer_info)")
        }
        var prompts = RandomPrompts(vocabulary: vocabulary)
        try RandomLengths.read(arguments, into: &prompts)
        return prompts
    }

    /// Where the figures are saved; nil when they are not.
    func resultPath(_ settings: ServingSettings) -> String? {
        guard arguments.flag("save-result") || arguments.isGiven("result-filename") else {
            return nil
        }
        let rate = report.rate.map { "\($0)" } ?? "inf"
        let most = report.maxConcurrency.map { "-concurrency\($0)" } ?? ""
        let model = settings.model.split(separator: "/").last.map(String.init) ?? "model"
        let name =
            arguments.string("result-filename")
            ?? "\(settings.backend)-\(rate)qps\(most)-\(model)-\(settings.date).json"
        return name.hasPrefix("/")
            ? name : FileSystem.join(arguments.string("result-dir", default: "."), name)
    }

    var isJSON: Bool { arguments.flag("json") }
    var savesDetails: Bool { arguments.flag("save-detailed") }
}

/// The lengths of random prompts, as several verbs take them.
enum RandomLengths {
    static let options = [
        BenchOptions.inputLength(default: 1024), BenchOptions.outputLength(default: 128),
        OptionSpecification(
            "--range-ratio", "--random-range-ratio", kind: .value("SHARE"),
            help: "how far both lengths may differ, from 0 to below 1", defaultText: "0"),
        OptionSpecification(
            "--prefix-len", "--random-prefix-len", kind: .value("N"),
            help: "tokens with which prompts begin alike, before those of --input-len",
            defaultText: "0"),
        OptionSpecification(
            "--num-prefixes", kind: .value("N"), help: "such beginnings, taken in turn",
            defaultText: "1"),
    ]

    /// Reads them; vLLM's defaults hold.
    static func read(_ arguments: ParsedArguments, into prompts: inout RandomPrompts) throws {
        let lengths = 1...(1 << 24)
        prompts.inputLength = try arguments.int(
            "input-len", default: prompts.inputLength, in: lengths)
        prompts.outputLength = try arguments.int(
            "output-len", default: prompts.outputLength, in: lengths)
        prompts.rangeRatio = try arguments.double(
            "range-ratio", default: 0, in: 0...0.999)
        prompts.prefixLength = try arguments.int(
            "prefix-len", default: 0, in: 0...(1 << 24))
        prompts.prefixes = try arguments.int("num-prefixes", default: 1, in: 1...1_000_000)
        prompts.seed = UInt64(try arguments.int("seed", default: 0, in: 0...Int.max))
    }
}
