// SPDX-License-Identifier: Apache-2.0
// Keys of a configuration given on the command line.
import EftConfig

/// A key and its value as typed on the command line: `--lora-r 16`, `--special_tokens.pad_token "<pad>"`.
package struct ConfigOverride: Sendable, Hashable {
    /// The key; dots lead into mappings, numbers into lists.
    package let path: [String]
    /// The value as typed.
    package let value: String

    /// Takes a key as typed, without the leading dashes.
    package init(_ key: String, _ value: String) {
        path = key.split(separator: ".", omittingEmptySubsequences: false).map {
            String($0).replacing("-", with: "_")
        }
        self.value = value
    }

    /// The key as the configuration spells it.
    package var key: String { path.joined(separator: ".") }

    // MARK: Applying

    /// The document with all overrides applied, later ones winning.
    /// - Throws: `ConfigError` for keys that lead nowhere, and for keys that a document with `strict: true` has not.
    package static func apply(
        _ overrides: [ConfigOverride], to document: ConfigCursor
    ) throws(ConfigError) -> ConfigCursor {
        let strict = try document.lenientBool("strict") ?? false
        var node = document.node
        for override in overrides {
            node = try override.applied(to: node, path: override.path[...], strict: strict)
        }
        return ConfigCursor(node, file: document.file)
    }

    private func applied(
        to node: ConfigNode?, path: ArraySlice<String>, strict: Bool
    ) throws(ConfigError) -> ConfigNode {
        guard let key = path.first else { return try coerced(like: node) }
        let rest = path.dropFirst()
        switch node?.value {
        case .array(var items):
            guard let index = Int(key), items.indices.contains(index) else {
                throw fault("the list has no entry '\(excerpt(key))'")
            }
            items[index] = try applied(to: items[index], path: rest, strict: strict)
            return ConfigNode(.array(items), line: node?.line ?? 0)
        case .object(var object):
            guard !key.isEmpty else { throw fault("a part of the key is empty") }
            guard !strict || object[key] != nil else {
                throw fault("the configuration is strict and does not have this key")
            }
            object[key] = try applied(to: object[key], path: rest, strict: strict)
            return ConfigNode(.object(object), line: node?.line ?? 0)
        case nil, .null:
            return try applied(
                to: ConfigNode(.object(ConfigObject())), path: path, strict: false)
        default:
            throw fault("the key leads into a value that is no mapping")
        }
    }

    /// The value in the type of the one it replaces where that is text or a list, else in the type that it spells.
    private func coerced(like old: ConfigNode?) throws(ConfigError) -> ConfigNode {
        let text = value
        switch old?.value {
        case .string: return ConfigNode(.string(text))
        case .array where !text.hasPrefix("["):
            let parts = text.split(separator: ",").map { part in
                ConfigNode(YAMLScalar.resolve(String(part.trimmingPrefix { $0 == " " })))
            }
            return ConfigNode(.array(parts))
        default: break
        }
        guard text.hasPrefix("[") || text.hasPrefix("{") else {
            return ConfigNode(YAMLScalar.resolve(text))
        }
        return try YAMLParser.parse(text, file: "--" + key)
    }

    private func fault(_ message: String) -> ConfigError {
        ConfigError(.badValue, message, file: "--" + excerpt(key))
    }
}
