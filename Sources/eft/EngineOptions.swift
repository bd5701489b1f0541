// SPDX-License-Identifier: Apache-2.0
// Bounds of an engine, for every verb that has one, under vLLM's names.
import EftBenchmarks
import EftCommandLine

enum EngineOptions {
    static let maxSequences = OptionSpecification(
        "--max-num-seqs", kind: .value("N"), help: "most sequences at once", defaultText: "64")
    static let prefixCaching = OptionSpecification(
        "--enable-prefix-caching", kind: .invertibleFlag,
        help: "share keys and values between requests that begin alike", defaultText: "on")

    static func maxBatchedTokens(default usual: Int) -> OptionSpecification {
        OptionSpecification(
            "--max-num-batched-tokens", kind: .value("N"), help: "most tokens of a step",
            defaultText: "\(usual)")
    }

    static func blocks(default usual: String) -> OptionSpecification {
        OptionSpecification(
            "--num-gpu-blocks-override", kind: .value("N"), help: "blocks of keys and values",
            defaultText: usual)
    }
}

/// What several benchmarks are asked for.
enum BenchOptions {
    static let shape = OptionSpecification(
        "--shape", kind: .value("NAME"), help: "a known model's shape, with random weights",
        defaultText: NamedShape.tinyLlama.name, choices: NamedShape.all.map(\.name))

    /// The shape that was asked for.
    static func shape(_ arguments: ParsedArguments) -> NamedShape {
        let name = arguments.string("shape", default: NamedShape.tinyLlama.name)
        return NamedShape.all.first { $0.name == name } ?? .tinyLlama
    }

    static let layers = OptionSpecification(
        "--layers", kind: .value("N"), help: "layers of the shape", defaultText: "all")
    static let bits = OptionSpecification(
        "--bits", "-b", kind: .value("B"), help: "bits a weight of the shape, in EXL2",
        defaultText: "4")
    static let prompts = OptionSpecification(
        "--num-prompts", kind: .value("N"), help: "requests", defaultText: "1000")
    static let seed = OptionSpecification(
        "--seed", kind: .value("N"), help: "seed of all that is random", defaultText: "0")

    static func inputLength(default usual: Int) -> OptionSpecification {
        OptionSpecification(
            "--input-len", "--random-input-len", kind: .value("N"), help: "tokens of a prompt",
            defaultText: "\(usual)")
    }

    static func outputLength(default usual: Int) -> OptionSpecification {
        OptionSpecification(
            "--output-len", "--random-output-len", kind: .value("N"), help: "tokens of an answer",
            defaultText: "\(usual)")
    }

    static func iterations(of what: String, default usual: Int) -> OptionSpecification {
        OptionSpecification(
            "--num-iters", kind: .value("N"), help: "\(what) that count",
            defaultText: "\(usual)")
    }
}
