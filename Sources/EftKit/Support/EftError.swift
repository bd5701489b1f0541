// SPDX-License-Identifier: Apache-2.0
// The one error type that the library's callers see.
import EftConfig
import EftConversion
import EftFormats
import EftGeneration
import EftHub
import EftModels
import EftServer
import EftTensor
import EftTokenizers
import EftTraining

/// An error of the library: what is wrong, where, and what to do about it.
public struct EftError: Error, Sendable, CustomStringConvertible {
    /// What kind of fault it is; the program `eft` has an exit status for each.
    public enum Kind: Sendable, Hashable {
        /// A value, a configuration or a combination of options is wrong.
        case usage
        /// The work does not fit the memory limit; nothing was done.
        case doesNotFit
        /// A file is damaged, missing, or of a kind that is not supported.
        case file
        /// The caller canceled the work.
        case cancelled
        /// Anything else: a full disk, training that diverged, a queue without room.
        case failed
    }

    /// What kind of fault it is.
    public let kind: Kind
    /// What is wrong, where, and what to do.
    public let message: String

    /// Makes an error.
    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    /// The message.
    public var description: String { message }

    /// The error as callers see it.
    init(wrapping error: any Error) {
        switch error {
        case let error as EftError: self = error
        // What a request asks for and cannot have; the program meets these in its own options only.
        case is ConstraintError, is ChatTemplateError: self.init(.usage, String(describing: error))
        case is CancellationError: self.init(.cancelled, String(describing: error))
        default: self.init(EftError.kind(of: error), String(describing: error))
        }
    }

    /// The kind of any error of the parts below, as the program and the library tell them.
    package static func kind(of error: any Error) -> Kind {
        switch error {
        case let error as ConfigError: kind(of: error)
        case is GenerationError: .usage
        case let error as SamplingError: error == .damagedLogits ? .file : .usage
        case let error as TensorError:
            switch error.code {
            case .outOfBudget, .outOfMemory: .doesNotFit
            case .invalidBudget: .usage
            case .invalidShape, .unsupportedMachine: .failed
            }
        case let error as FormatError:
            switch error.code {
            case .damaged, .unsupported, .missing: .file
            case .unreadable, .io: .failed
            }
        case let error as HubError:
            switch error.code {
            case .notFound, .damaged, .unsupported: .file
            case .denied, .limited, .unreachable, .io: .failed
            case .stopped: .cancelled
            }
        case let error as ModelError: error.code == .invalidInput ? .usage : .file
        case let error as ConversionError: error.code == .usage ? .usage : .file
        case let error as TokenizerError: error.code == .io ? .failed : .file
        case let error as TrainingError:
            switch error.code {
            // The data and the checkpoint to go on from are what the configuration names.
            case .configuration, .data, .checkpoint: .usage
            case .interrupted: .cancelled
            case .diverged, .reward: .failed
            }
        default: .failed
        }
    }

    /// Files of models and adapters, as opposed to configurations and data of the user's own.
    private static let modelFiles: Set<String> = [
        "config.json", "adapter_config.json", "generation_config.json", "tokenizer_config.json",
        "trainer_state.json", "job_new.json",
    ]

    private static func kind(of error: ConfigError) -> Kind {
        guard let file = error.file else { return .usage }
        let name = FileSystem.name(of: file)
        return modelFiles.contains(name) || name.hasSuffix(".index.json") ? .file : .usage
    }
}
