// SPDX-License-Identifier: Apache-2.0
// Models as lists of them show them.
import EftConfig

extension ServedModel {
    /// A card for each name of the base and for each adapter.
    var cards: [ConfigNode] {
        let base = options.names.map {
            card($0, root: options.root, created: options.created, parent: nil)
        }
        return base
            + adapters.all.map {
                card($0.name, root: $0.name, created: $0.entry.created, parent: name)
            }
    }

    private func card(_ id: String, root: String, created: Int, parent: String?) -> ConfigNode {
        [
            "id": ConfigNode(id), "object": "model", "created": ConfigNode(created),
            "owned_by": "eft", "root": ConfigNode(root),
            "parent": parent.map { ConfigNode($0) } ?? .null,
            "max_model_len": ConfigNode(maxLength),
            "permission": [
                [
                    "id": ConfigNode("modelperm-" + id), "object": "model_permission",
                    "created": ConfigNode(created), "allow_create_engine": false,
                    "allow_sampling": true, "allow_logprobs": true,
                    "allow_search_indices": false, "allow_view": true,
                    "allow_fine_tuning": false, "organization": "*", "group": .null,
                    "is_blocking": false,
                ]
            ],
        ]
    }
}
