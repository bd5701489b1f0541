// SPDX-License-Identifier: Apache-2.0
// How much the rules of a tokenizer may do with a text: a file of a few lines must not turn a page into gigabytes.

/// The bytes that a text may grow to, and the counts of rules that are read.
///
/// The largest growth that Unicode itself brings is elevenfold (U+FDFA in the compatibility forms); the rules of known
/// tokenizers at most triple a text.
struct GrowthLimit: Sendable {
    /// Times as many bytes as a text has.
    static let factor = 16
    /// Bytes that short texts may have besides.
    static let allowance = 1024
    /// Steps of a normalizer, of a pre-tokenizer, of a decoder and of a post-processor.
    static let steps = 256
    /// Times that a post-processor may repeat the text, all its templates together.
    static let repetitions = factor
    /// Special tokens that a post-processor may put around a text, all its templates together.
    static let specialTokens = allowance
    /// Bytes of an added token, each of which may be compared at every place of a text.
    static let addedToken = 1024

    /// Bytes of the text before any rule.
    let original: Int
    /// Bytes that all rules together may still make.
    private(set) var room: Int

    /// Begins a text of so many bytes.
    init(_ count: Int) {
        original = count
        room = GrowthLimit.most(count)
    }

    /// Bytes that a text of so many may become.
    static func most(_ count: Int) -> Int { count * factor + allowance }

    /// Accounts for bytes that a rule of pre-tokenization makes.
    /// - Parameter rule: says which rule it is, for the message.
    /// - Throws: `TokenizerError` (`text`) when all of them together are too many.
    mutating func take(_ count: Int, _ rule: @autoclosure () -> String) throws(TokenizerError) {
        room -= count
        guard room >= 0 else { throw GrowthLimit.error(rule(), original) }
    }

    /// The refusal of a rule.
    static func error(_ rule: String, _ original: Int) -> TokenizerError {
        TokenizerError(
            .text,
            "the rule \(rule) of tokenizer.json makes more than \(most(original)) bytes of a text of "
                + "\(original); no known tokenizer does, so the file is damaged or harmful")
    }
}

extension TokenizerNode {
    /// Refuses a list of rules that is longer than that of any known tokenizer.
    /// - Throws: `TokenizerError` (`unsupported`).
    func requireFew(_ count: Int, _ what: String) throws(TokenizerError) {
        guard count <= GrowthLimit.steps else {
            throw error(
                .unsupported,
                "more than \(GrowthLimit.steps) \(what); no known tokenizer has so many")
        }
    }
}
