// SPDX-License-Identifier: Apache-2.0
// Changes to config.json that go with changed weights.
import EftConfig
import EftFormats
import EftTensor

/// A `config.json` under change; keys that are not touched keep value and place.
struct ConfigEditor {
    private(set) var object: ConfigObject

    /// Starts from a parsed config.
    /// - Throws: `ConfigError` when it is no mapping.
    init(_ config: ConfigCursor) throws { object = try config.object() }

    /// Reads the config of a folder; nil when there is none.
    /// - Throws: `ConfigError`, `FormatError`.
    init?(folder: String) throws {
        let path = FileSystem.join(folder, "config.json")
        guard FileSystem.exists(path) else { return nil }
        let bytes = try FileSystem.read(path)
        try self.init(ConfigCursor(try JSONParser.parse(bytes, file: path), file: path))
    }

    /// Says in which type weights are stored, under the key that the config uses already.
    mutating func setDType(_ dtype: DType) {
        let name =
            switch dtype {
            case .bf16: "bfloat16"
            case .f16: "float16"
            case .f64: "float64"
            default: "float32"
            }
        let keys = ["dtype", "torch_dtype"].filter { object[$0] != nil }
        for key in keys.isEmpty ? ["torch_dtype"] : keys {
            object[key] = ConfigNode(.string(name))
        }
    }

    /// Sets or removes a key.
    mutating func set(_ key: String, _ value: ConfigNode?) { object[key] = value }

    /// Writes `config.json` into a folder.
    /// - Throws: `FormatError`.
    func write(to folder: String, indent: Int = 2) throws {
        try AtomicFile.write(
            FileSystem.join(folder, "config.json"),
            JSONText.string(ConfigNode(.object(object)), indent: indent) + "\n")
    }
}

/// JSON text of documents that the program makes.
enum JSONText {
    /// The document, with a line for each entry.
    static func string(_ node: ConfigNode, indent: Int = 2) -> String {
        JSONWriter.text(node, layout: .indented(indent))
    }
}
