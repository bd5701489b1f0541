// SPDX-License-Identifier: Apache-2.0
// Reading a whole YAML or JSON file.

/// Configuration files.
package enum ConfigFile {
    /// Largest file read, unless the caller says otherwise: 256 MiB.
    package static let defaultMaximumSize = 256 << 20

    /// The languages read.
    package enum Language: Sendable, Hashable {
        case json
        case yaml
    }

    /// Reads a document.
    ///
    /// `.json` is JSON, `.yml` and `.yaml` are YAML; a file with another name is JSON when it
    /// begins with a bracket, else YAML. JSON as Python writes it is accepted (`NaN`, `Infinity`):
    /// such values are refused where they are used.
    /// - Throws: `ConfigError` naming the file, and the line where there is one.
    package static func read(
        _ path: String, maximumSize: Int = defaultMaximumSize
    ) throws(ConfigError) -> ConfigCursor {
        let bytes = try contents(path, maximumSize: maximumSize)
        let node: ConfigNode
        switch language(path: path, bytes: bytes) {
        case .json:
            node = try JSONParser.parse(bytes, file: path, acceptsNonFinite: true)
        case .yaml: node = try YAMLParser.parse(bytes, file: path)
        }
        return ConfigCursor(node, file: path)
    }

    /// Reads the bytes of a file, or of a pipe until its end.
    /// - Throws: `ConfigError` (`unreadable`; `tooLarge` beyond `maximumSize` bytes).
    package static func contents(
        _ path: String, maximumSize: Int = defaultMaximumSize
    ) throws(ConfigError) -> [UInt8] {
        let file = try InputFile(path)
        let tooLarge = ConfigError(
            .tooLarge, "the file is larger than the \(maximumSize) bytes that are read", file: path)
        guard file.reportedSize <= maximumSize else { throw tooLarge }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(file.reportedSize)
        while try file.read(1 << 20, into: &bytes) > 0 {
            guard bytes.count <= maximumSize else { throw tooLarge }
        }
        return bytes
    }

    /// The language of a file, by its name, else by its first character.
    package static func language(path: String, bytes: some Collection<UInt8>) -> Language {
        let name = path.lowercased()
        if name.hasSuffix(".json") { return .json }
        if name.hasSuffix(".yml") || name.hasSuffix(".yaml") { return .yaml }
        let first = bytes.first { byte in
            // Space and byte-order mark stand before the first character.
            !(byte <= 0x20 || byte == 0xEF || byte == 0xBB || byte == 0xBF)
        }
        return first == UInt8(ascii: "{") || first == UInt8(ascii: "[") ? .json : .yaml
    }
}
