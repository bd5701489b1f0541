// SPDX-License-Identifier: Apache-2.0
// Tokens whose rows of embedding and head are trained while all other rows stay as they are.
import EftConfig
import EftNN
import EftTensor

/// PEFT's `trainable_token_indices`: token ids by module.
package struct TrainedTokenIDs: Sendable, Hashable {
    /// Ids of rows of the embedding, and of a head that is tied to it.
    package var embedding: [Int32]
    /// Ids of rows of a head that is a weight of its own.
    package var head: [Int32]

    /// Names tokens.
    package init(embedding: [Int32] = [], head: [Int32] = []) {
        self.embedding = embedding
        self.head = head
    }

    /// Whether no row is trained.
    package var isEmpty: Bool { embedding.isEmpty && head.isEmpty }

    /// Whether all these rows are among others.
    package func isSubset(of other: TrainedTokenIDs) -> Bool {
        Set(embedding).isSubset(of: other.embedding) && Set(head).isSubset(of: other.head)
    }

    /// One more than the largest id.
    package var bound: Int { (embedding + head).map { Int($0) + 1 }.max() ?? 0 }

    /// Reads a list of ids, which means the embedding, or lists by module; nothing for null.
    /// - Throws: `ConfigError` for ids below 0 and for other modules.
    package init(_ value: ConfigCursor) throws(ConfigError) {
        self.init()
        func ids(_ list: ConfigCursor) throws(ConfigError) -> [Int32] {
            var ids: Set<Int32> = []
            for item in try list.elements() {
                ids.insert(Int32(try item.int(in: 0...1 << 28)))
            }
            return ids.sorted()
        }
        switch value.node.value {
        case .null: break
        case .array: embedding = try ids(value)
        default:
            for (name, list) in try value.entries() {
                switch SavedEnds.module(named: name) {
                case "embed_tokens": embedding = try ids(list)
                case "lm_head": head = try ids(list)
                default:
                    throw list.error(
                        .badValue,
                        "'\(excerpt(name))' has no rows of tokens; there are "
                            + SavedEnds.modules.joined(separator: " and "))
                }
            }
        }
    }

    /// As PEFT writes it.
    var node: ConfigNode {
        func list(_ ids: [Int32]) -> ConfigNode {
            ConfigNode(.array(ids.map { ConfigNode(Int($0)) }))
        }
        if isEmpty { return .null }
        if head.isEmpty { return list(embedding) }
        var object: ConfigObject = ["lm_head": list(head)]
        if !embedding.isEmpty { object["embed_tokens"] = list(embedding) }
        return ConfigNode(object)
    }
}
