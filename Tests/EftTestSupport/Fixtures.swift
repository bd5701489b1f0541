// SPDX-License-Identifier: Apache-2.0
// Finding the files in Tests/Fixtures, wherever the package lies.
import EftFormats

/// Paths of the package's fixtures.
package enum Fixtures {
    /// The folders of `architectures`: a model of each, its adapter and the merge of both.
    package static let architectures: [String] = {
        guard let names = try? list("architectures"), !names.isEmpty else {
            preconditionFailure("no fixtures of architectures")
        }
        return names
    }()

    /// The package's root folder.
    package static let packageRoot: String = {
        var folder = FileSystem.folder(of: #filePath)
        while folder != "/" && folder != "." {
            if FileSystem.exists(FileSystem.join(folder, "Package.swift")) { return folder }
            folder = FileSystem.folder(of: folder)
        }
        preconditionFailure("no Package.swift above \(#filePath)")
    }()

    /// The path of a fixture, such as `models/plain`.
    package static func path(_ name: String) -> String {
        FileSystem.join(packageRoot, "Tests/Fixtures/\(name)")
    }

    /// Names in a folder of fixtures, sorted.
    package static func list(_ folder: String) throws -> [String] {
        try FileSystem.list(path(folder))
    }
}
