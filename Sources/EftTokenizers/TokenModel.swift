// SPDX-License-Identifier: Apache-2.0
// What turns words into token ids: the model of a tokenizer.json.

/// A model: the tokens that a word is made of.
protocol TokenModel: Sendable {
    /// Appends the ids of a word to `ids`.
    /// - Throws: `TokenizerError` (`text`) when the unknown token is needed and does not exist.
    func encode(
        _ word: UnsafeBufferPointer<UInt8>, scratch: inout WordScratch, into ids: inout [Int32]
    ) throws(TokenizerError)
}

/// Room that models need for one word, kept from one to the next.
struct WordScratch: Sendable {
    var merging = MergeScratch()
    var paths = PathScratch()
}

/// The kinds of models that are read.
enum TokenModelKind: String, Sendable {
    case bytePairs = "BPE"
    case unigram = "Unigram"
}

/// The tokens `<0xNN>` that stand for bytes of characters which no token spells.
struct FallbackBytes: Sendable {
    /// The token of each byte, or -1.
    private let symbols: [Int32]

    /// Looks for the tokens of all bytes.
    init(_ vocabulary: Vocabulary) {
        symbols = (0..<256).map { byte in
            let digits = String(byte, radix: 16, uppercase: true)
            return vocabulary.id(of: "<0x\(byte < 16 ? "0" : "")\(digits)>") ?? -1
        }
    }

    /// Whether there is a token for each byte of a text.
    func has(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        text.allSatisfy { symbols[Int($0)] >= 0 }
    }

    /// The token of a byte, or -1.
    subscript(byte: UInt8) -> Int32 { symbols[Int(byte)] }
}
