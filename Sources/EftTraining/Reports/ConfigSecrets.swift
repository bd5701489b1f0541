// SPDX-License-Identifier: Apache-2.0
// A configuration as others may see it.
import EftConfig

/// Takes out of a configuration what gives access to something: results are often published with the files beside them.
enum ConfigSecrets {
    /// What stands in the place of a secret.
    static let placeholder = "(left out)"

    /// The document without keys of services, tokens, passwords, and what addresses hold of them.
    static func removed(from node: ConfigNode) -> ConfigNode {
        switch node.value {
        case .object(let object):
            var result = ConfigObject()
            for (key, value) in object.entries {
                result[key] =
                    isSecret(key) ? hidden(value) : removed(from: value)
            }
            return ConfigNode(.object(result), line: node.line)
        case .array(let items):
            return ConfigNode(.array(items.map { removed(from: $0) }), line: node.line)
        case .string(let text): return ConfigNode(.string(cleaned(text)), line: node.line)
        default: return node
        }
    }

    /// Whether a key of this name holds a secret.
    static func isSecret(_ key: String) -> Bool {
        let name = key.lowercased().replacing("-", with: "_")
        if marks.contains(where: { name.contains($0) }) { return true }
        let words = name.split(separator: "_").map(String.init)
        switch words.last {
        case "token": return !tokenRoles.contains(words.dropLast().last ?? "")
        case "key": return !plainKeys.contains(name)
        default: return false
        }
    }

    private static let marks = [
        "secret", "password", "passwd", "passphrase", "credential", "apikey", "api_key", "webhook",
    ]

    /// Tokens of a tokenizer, which are no secret.
    private static let tokenRoles: Set<String> = [
        "bos", "eos", "pad", "unk", "cls", "sep", "mask", "eot", "bot", "image", "special",
    ]

    /// Keys that name a field of rows.
    private static let plainKeys: Set<String> = ["template_thinking_key"]

    /// A truth value or nothing at all says no secret.
    private static func hidden(_ value: ConfigNode) -> ConfigNode {
        switch value.value {
        case .null, .bool, .string(""): value
        default: ConfigNode(placeholder)
        }
    }

    // MARK: Values

    /// How tokens of well-known services begin.
    private static let tokenBeginnings = [
        "hf_", "sk-", "ghp_", "github_pat_", "glpat-", "wandb_v1_", "AKIA", "xoxb-",
    ]

    /// A value without the token that it is, or the user and password in front of a host.
    private static func cleaned(_ text: String) -> String {
        let isWord = text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "/") }
        if isWord, text.utf8.count >= 20, tokenBeginnings.contains(where: { text.hasPrefix($0) }) {
            return placeholder
        }
        guard let scheme = text.firstRange(of: "://") else { return text }
        let rest = text[scheme.upperBound...]
        guard let at = rest.prefix(while: { $0 != "/" }).lastIndex(of: "@") else { return text }
        return text[..<scheme.upperBound] + placeholder + rest[at...]
    }
}
