// SPDX-License-Identifier: Apache-2.0
// Where the tokenizer of a folder comes from: tokenizer.json, or files of another form that are made into one.

/// A tokenizer.json, as it stands in a folder or made of other files.
struct TokenizerSource {
    /// The texts of special tokens that hold where the files beside name none.
    struct Special {
        var bos: String?
        var eos: String?
        var pad: String?
    }

    /// The document.
    var bytes: [UInt8]
    /// The file that it was read from.
    var file: String
    /// Whether that file is the document itself.
    var isDocument = true
    /// Special tokens that the file itself names.
    var special = Special()
    /// What the text goes through before the document's rules.
    var characters: CharacterMap?

    /// Reads a folder's tokenizer.
    /// - Throws: `TokenizerError` with file, key path and line.
    init(folder: String) throws(TokenizerError) {
        let path = folder + "/tokenizer.json"
        if let bytes = try FileAccess.read(path) {
            self.init(bytes: bytes, file: path)
            return
        }
        for name in TokenizerFiles.sentencePieceNames {
            let model = folder + "/" + name
            guard let bytes = try FileAccess.read(model) else { continue }
            self =
                TiktokenFile.isOne(bytes)
                ? try TiktokenFile.source(bytes, file: model, folder: folder)
                : try SentencePieceModel(bytes, file: model).source(folder: folder)
            return
        }
        let tekken = folder + "/tekken.json"
        if let bytes = try FileAccess.read(tekken) {
            self = try TekkenFile(bytes, file: tekken).source(folder: folder)
            return
        }
        let ranks = TokenizerFiles.tiktokenNames(in: folder)
        if ranks.count > 1 {
            throw TokenizerError(
                .unsupported,
                "there are several tokenizers in this folder: \(ranks.joined(separator: ", "))",
                file: folder)
        }
        guard let name = ranks.first, let bytes = try FileAccess.read(folder + "/" + name) else {
            throw TokenizerError(
                .unreadable,
                "there is no tokenizer.json in this folder, and no tokenizer.model, spiece.model, tekken.json or .tiktoken file either; save the tokenizer in the fast format",
                file: path)
        }
        self = try TiktokenFile.source(bytes, file: folder + "/" + name, folder: folder)
    }

    /// Takes a document.
    init(
        bytes: [UInt8], file: String, isDocument: Bool = true, special: Special = Special(),
        characters: CharacterMap? = nil
    ) {
        self.bytes = bytes
        self.file = file
        self.isDocument = isDocument
        self.special = special
        self.characters = characters
    }
}
