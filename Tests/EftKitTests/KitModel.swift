// SPDX-License-Identifier: Apache-2.0
// The demo's model as the library's callers load it.
import EftKit
import EftTestSupport

enum KitModel {
    /// The folder of the model that the repository carries.
    static var folder: String { Fixtures.packageRoot + "/Examples/demo/model" }

    /// Two threads, as tests share the machine, and room for what the other tests of the process hold.
    static var options: ModelOptions {
        var options = ModelOptions(memoryLimit: 4 << 30)
        options.contextLength = 256
        options.threads = 2
        return options
    }

    static func load(
        _ change: (inout ModelOptions) -> Void = { _ in }
    ) async throws -> LanguageModel {
        var options = options
        change(&options)
        return try await LanguageModel.load(folder, options: options)
    }
}
