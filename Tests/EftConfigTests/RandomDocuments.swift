// SPDX-License-Identifier: Apache-2.0
// Random documents, the same in every run.

import EftConfig
import EftTensor

/// A random document, with every kind of value and awkward strings.
func randomNode(_ random: inout SplitMix64, depth: Int = 0) -> ConfigNode {
    switch Int.random(in: 0..<(depth < 5 ? 8 : 5), using: &random) {
    case 0: return .null
    case 1: return ConfigNode(Bool.random(using: &random))
    case 2: return ConfigNode(Int.random(in: .min ... .max, using: &random) >> (depth * 8))
    case 3:
        let value = Double(bitPattern: random.next())
        return ConfigNode(value.isFinite ? value : 0.5)
    case 4: return ConfigNode(randomString(&random))
    case 5, 6:
        let count = Int.random(in: 0..<5, using: &random)
        return ConfigNode((0..<count).map { _ in randomNode(&random, depth: depth + 1) })
    default:
        var object = ConfigObject()
        for _ in 0..<Int.random(in: 0..<12, using: &random) {
            object[randomString(&random)] = randomNode(&random, depth: depth + 1)
        }
        return ConfigNode(object)
    }
}

/// A random string of awkward pieces.
private func randomString(_ random: inout SplitMix64) -> String {
    let pieces = [
        "a", "key", " ", "\"", "\\", "\n", "\t", "\r", "\u{0}", "\u{1f}", "\u{7f}", "é", "e\u{301}",
        "漢", "😀", "\u{2028}", "/", "{", "]", ":", "#", "\u{feff}", "\u{10ffff}", "no", "1e5",
    ]
    let count = Int.random(in: 0..<6, using: &random)
    return (0..<count).map { _ in pieces[Int.random(in: 0..<pieces.count, using: &random)] }
        .joined()
}

/// A copy of `bytes` with a few bytes changed, removed, added or repeated.
func mutated(_ bytes: [UInt8], _ random: inout SplitMix64) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<Int.random(in: 1..<4, using: &random) where !bytes.isEmpty {
        let place = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<5, using: &random) {
        case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes.remove(at: place)
        case 2:
            let structural = Array("{}[],:\"\\-&*!|>%@`'#?\n\t .e0<~".utf8)
            bytes.insert(
                structural[Int.random(in: 0..<structural.count, using: &random)], at: place)
        case 3: bytes.removeLast(bytes.count - place)
        default:
            let end = min(bytes.count, place + Int.random(in: 0..<20, using: &random))
            bytes.insert(contentsOf: Array(bytes[place..<end]), at: place)
        }
    }
    return bytes
}
