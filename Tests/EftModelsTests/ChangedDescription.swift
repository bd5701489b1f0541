// SPDX-License-Identifier: Apache-2.0
// Descriptions of the small models, with other settings.
import EftConfig
import EftFormats
import EftModels
import EftTestSupport

/// The description of a small model whose config has other values.
/// - Parameters:
///   - name: its folder in the fixtures of architectures.
///   - more: an object whose entries take the place of the config's.
func describe(_ name: String, _ more: String) throws -> DecoderDescription {
    let path = Fixtures.path("architectures/\(name)/config.json")
    var object = try ConfigCursor(JSONParser.parse(FileSystem.read(path))).object()
    for entry in try ConfigCursor(JSONParser.parse(Array(more.utf8))).object().entries {
        object[entry.key] = entry.node
    }
    return try ArchitectureRegistry.describe(ConfigCursor(ConfigNode(object)))
}
