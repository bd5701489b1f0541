// SPDX-License-Identifier: Apache-2.0
// Models of unknown types that are read as Llama where somebody says so, and only there.
import EftConfig
import EftFormats
import EftModels
import EftTestSupport
import Testing

struct AssumedArchitectureTests {
    /// A folder whose type nobody knows, with the weights of another one.
    private func folder(_ source: String) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        for name in try FileSystem.list(Fixtures.path(source)) where name.hasPrefix("model") {
            try folder.write(name, FileSystem.read(Fixtures.path("\(source)/\(name)")))
        }
        let text = String(
            decoding: try FileSystem.read(Fixtures.path("\(source)/config.json")), as: UTF8.self)
        var object = try ConfigCursor(JSONParser.parse(Array(text.utf8))).object()
        object["model_type"] = "lamarck"
        try folder.write("config.json", JSONWriter.text(ConfigNode(object)))
        return folder
    }

    @Test func `a type is assumed as long as somebody says so`() throws {
        let folder = try folder("models/plain")
        let known = try ModelFolder.open(Fixtures.path("models/plain")).description
        let assumed = try AssumedArchitecture.reading(as: "llama") {
            try ModelFolder.open(folder.path).description
        }
        #expect(assumed == known)
        #expect(throws: ModelError.self) { try ModelFolder.open(folder.path) }
    }

    @Test func `weights that Llama has not are refused by name`() throws {
        let folder = try folder("architectures/qwen3")
        let error = #expect(throws: ModelError.self) {
            try AssumedArchitecture.reading(as: "llama") { try ModelFolder.open(folder.path) }
        }
        #expect(error?.description.contains("norm") == true, "\(String(describing: error))")
    }
}
