// SPDX-License-Identifier: Apache-2.0
// Random alterations of documents that stay well formed, so that they reach what reads their values.
import EftConfig
import EftTensor

extension SplitMix64 {
    /// Values that readers may not expect.
    private static let strange: [ConfigNode] = [
        .null, false, true, 0, -1, 1, 2, 3, 7, 255, 65536, 16_777_216, 2_147_483_648,
        ConfigNode(Int.max),
        ConfigNode(Int.min), 0.5, -0.0, ConfigNode(Double.leastNonzeroMagnitude), 1e19,
        ConfigNode(1.7e308), "", " ", "a", "0", "-1",
        "1e999",
        "null", "\u{0}", "é", "\\", "(", ".*", "<s>", "▁", "\u{10ffff}", [], [[]], [0, 1],
        ["a", "b"],
        ConfigNode(ConfigObject()), ["a": 1], ["type": "BPE"],
    ]

    /// A copy of a document in which one to three values are replaced, taken away, moved or repeated.
    package mutating func mutated(_ node: ConfigNode) -> ConfigNode {
        var result = node
        for _ in 0..<Int.random(in: 1...3, using: &self) {
            var place = Int.random(in: 0..<max(size(result), 1), using: &self)
            result = changed(result, at: &place)
        }
        return result
    }

    private func size(_ node: ConfigNode) -> Int {
        switch node.value {
        case .array(let items): items.reduce(1) { $0 + size($1) }
        case .object(let object): object.entries.reduce(1) { $0 + size($1.node) }
        default: 1
        }
    }

    /// Changes the value with the number `place`, counted in the order of the document.
    private mutating func changed(_ node: ConfigNode, at place: inout Int) -> ConfigNode {
        place -= 1
        if place < 0 { return replacement(of: node) }
        switch node.value {
        case .array(let items):
            return ConfigNode(items.map { place < 0 ? $0 : changed($0, at: &place) })
        case .object(let object):
            var result = ConfigObject()
            for (key, item) in object.entries {
                result[key] = place < 0 ? item : changed(item, at: &place)
            }
            return ConfigNode(result)
        default: return node
        }
    }

    private mutating func replacement(of node: ConfigNode) -> ConfigNode {
        let any = SplitMix64.strange[Int.random(in: 0..<SplitMix64.strange.count, using: &self)]
        switch node.value {
        case .array(var items) where !items.isEmpty && Bool.random(using: &self):
            let index = Int.random(in: 0..<items.count, using: &self)
            switch Int.random(in: 0..<3, using: &self) {
            case 0: items.remove(at: index)
            case 1: items.append(items[index])
            default: items.insert(any, at: index)
            }
            return ConfigNode(items)
        case .object(var object) where !object.isEmpty && Bool.random(using: &self):
            let key = object.keys[Int.random(in: 0..<object.count, using: &self)]
            let other = object.keys[Int.random(in: 0..<object.count, using: &self)]
            switch Int.random(in: 0..<3, using: &self) {
            case 0: object[key] = nil
            case 1: object[key] = object[other]
            default: object[key] = any
            }
            return ConfigNode(object)
        case .integer(let value) where Bool.random(using: &self):
            return ConfigNode(value &+ Int.random(in: -2...2, using: &self))
        default: return any
        }
    }
}
