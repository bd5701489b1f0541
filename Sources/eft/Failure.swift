// SPDX-License-Identifier: Apache-2.0
// Which exit status an error is.
import EftBenchmarks
import EftCommandLine
import EftKit

/// An error as the user sees it.
struct Failure {
    let status: ExitStatus
    private let error: any Error

    init(_ error: any Error) {
        self.error = error
        status =
            switch error {
            case is UsageError: .usage
            case is ModelNotFound: .damagedFile
            case is BudgetError: .doesNotFit
            case is Interruption, is BenchmarkStopped: .interrupted
            default: Failure.status(EftError.kind(of: error))
            }
    }

    private static func status(_ kind: EftError.Kind) -> ExitStatus {
        switch kind {
        case .usage: .usage
        case .doesNotFit: .doesNotFit
        case .file: .damagedFile
        case .cancelled: .interrupted
        case .failed: .failed
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
