// SPDX-License-Identifier: Apache-2.0
// The one error type that the library's callers see.
import EftConfig
import EftConversion
import EftFormats
import EftGeneration
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
        if let error = error as? EftError {
            self = error
        } else {
            self.init(EftError.kind(of: error), String(describing: error))
        }
    }

    private static func kind(of error: any Error) -> Kind {
        switch error {
        case is ConfigError, is GenerationError, is ConstraintError, is ChatTemplateError: .usage
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
        case let error as ModelError: error.code == .invalidInput ? .usage : .file
        case let error as ConversionError: error.code == .usage ? .usage : .file
        case let error as TokenizerError: error.code == .io ? .failed : .file
        case let error as TrainingError:
            switch error.code {
            case .configuration: .usage
            case .interrupted: .cancelled
            case .data, .diverged, .checkpoint: .failed
            }
        case is CancellationError: .cancelled
        default: .failed
        }
    }
}
