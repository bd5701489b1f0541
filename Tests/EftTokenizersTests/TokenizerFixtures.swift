// SPDX-License-Identifier: Apache-2.0
// The tokenizers and expectations that scripts/fixtures/tokenizer_cases.py wrote.

import EftConfig
import Foundation
import Testing

@testable import EftTokenizers

/// Reads Tests/Fixtures/tokenizers.
enum TokenizerFixtures {
    static let kinds = [
        "llama3", "qwen", "gpt2", "gpt2-prefix", "digits", "sentencepiece", "metaspace", "words",
    ]

    static let folder = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/tokenizers").path

    static func bytes(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: URL(filePath: folder + "/" + name)))
    }

    static func tokenizer(_ kind: String) throws -> Tokenizer {
        try Tokenizer(json: bytes(kind + ".json"), file: kind + ".json")
    }

    static func list(_ name: String) throws -> [ConfigCursor] {
        try ConfigCursor(JSONParser.parse(bytes(name), file: name)).elements()
    }

    static let texts: [String] = {
        do { return try list("texts.json").map { try $0.string() } } catch { return [] }
    }()
}

extension ConfigCursor {
    func ids() throws -> [Int32] { try elements().map { Int32(try $0.int()) } }
}

/// Whether two strings have the same bytes; `==` would hold for other spellings of a character too.
func same(_ left: String, _ right: String) -> Bool { left.utf8.elementsEqual(right.utf8) }
