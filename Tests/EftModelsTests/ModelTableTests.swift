// SPDX-License-Identifier: Apache-2.0
// docs/models.md against the registry and the models that the architectures were checked on.
import EftFormats
import EftModels
import EftTestSupport
import Foundation
import Testing

@Suite struct ModelTableTests {
    private static let page = Fixtures.path("../../docs/models.md")
    private static let (begin, end) = ("<!-- architectures -->", "<!-- end -->")

    /// The fixture of a `model_type`, the first by name.
    private static func fixtures() throws -> [String: DecoderDescription] {
        var found: [String: DecoderDescription] = [:]
        let names = Fixtures.architectures.map { "architectures/\($0)" } + ["models/plain"]
        for name in names {
            let folder = try ModelFolder.open(Fixtures.path(name))
            let type = try folder.config.required("model_type").string()
            if found[type] == nil { found[type] = folder.description }
        }
        return found
    }

    private static func table() throws -> String {
        let fixtures = try fixtures()
        var lines = ["| `model_type` | Models | Parts |", "|---|---|---|"]
        for architecture in ArchitectureRegistry.all {
            let types = architecture.modelTypes.map { "`\($0)`" }.joined(separator: ", ")
            let model = try #require(
                architecture.modelTypes.lazy.compactMap { fixtures[$0] }.first,
                "no fixture of \(architecture.modelTypes)")
            let parts = model.parts.map { "\($0.name): \($0.form)" }.joined(separator: "<br>")
            lines.append("| \(types) | \(architecture.models) | \(parts) |")
        }
        return lines.joined(separator: "\n")
    }

    /// EFT_WRITE_DOCS=1 writes the table anew.
    @Test func `the page of models has the registry's table`() throws {
        let text = try String(contentsOfFile: Self.page, encoding: .utf8)
        let parts = text.components(separatedBy: Self.begin)
        let rest = try #require(parts.last?.components(separatedBy: Self.end))
        try #require(parts.count == 2 && rest.count == 2)
        let table = try "\n" + Self.table() + "\n"
        if ProcessInfo.processInfo.environment["EFT_WRITE_DOCS"] == "1" {
            try (parts[0] + Self.begin + table + Self.end + rest[1])
                .write(toFile: Self.page, atomically: true, encoding: .utf8)
            return
        }
        #expect(rest[0] == table)
    }
}
