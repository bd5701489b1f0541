// SPDX-License-Identifier: Apache-2.0
// Which exit status an error is.
import EftBenchmarks
import EftCommandLine
import EftConfig
import EftConversion
import EftFormats
import EftGeneration
import EftModels
import EftTensor
import EftTokenizers
import EftTraining

/// An error as the user sees it.
struct Failure {
    let status: ExitStatus
    private let error: any Error

    init(_ error: any Error) {
        self.error = error
        status =
            switch error {
            case let error as ConfigError: Failure.status(error)
            case is UsageError, is GenerationError: .usage
            case let error as SamplingError:
                error == .damagedLogits ? .damagedFile : .usage
            case let error as TensorError: Failure.status(error)
            case let error as FormatError: Failure.status(error)
            case let error as ModelError: error.code == .invalidInput ? .usage : .damagedFile
            case let error as ConversionError: error.code == .usage ? .usage : .damagedFile
            case let error as TokenizerError: error.code == .io ? .failed : .damagedFile
            case let error as TrainingError: Failure.status(error)
            case is BudgetError: .doesNotFit
            case is Interruption, is BenchmarkStopped: .interrupted
            default: .failed
            }
    }

    /// Files of models and adapters, as opposed to configurations and data of the user's own.
    private static let modelFiles: Set<String> = [
        "config.json", "adapter_config.json", "generation_config.json", "tokenizer_config.json",
        "trainer_state.json", "job_new.json",
    ]

    private static func status(_ error: ConfigError) -> ExitStatus {
        guard let file = error.file else { return .usage }
        let name = FileSystem.name(of: file)
        return modelFiles.contains(name) || name.hasSuffix(".index.json") ? .damagedFile : .usage
    }

    private static func status(_ error: TensorError) -> ExitStatus {
        switch error.code {
        case .outOfBudget, .outOfMemory: .doesNotFit
        case .invalidBudget: .usage
        case .invalidShape, .unsupportedMachine: .failed
        }
    }

    private static func status(_ error: FormatError) -> ExitStatus {
        switch error.code {
        case .damaged, .unsupported, .missing: .damagedFile
        case .unreadable, .io: .failed
        }
    }

    private static func status(_ error: TrainingError) -> ExitStatus {
        switch error.code {
        // The data and the checkpoint to go on from are what the configuration names.
        case .configuration, .data, .checkpoint: .usage
        case .interrupted: .interrupted
        case .diverged: .failed
        }
    }

    /// The lines for standard error.
    func text(program: String) -> String {
        if let usage = error as? UsageError { return usage.text(program: program) }
        return "\(program): \(error)"
    }
}

/// The work does not fit the budget; nothing was done.
struct BudgetError: Error, CustomStringConvertible {
    let description: String
}

/// The user stopped the work.
struct Interruption: Error, CustomStringConvertible {
    let description: String
}
