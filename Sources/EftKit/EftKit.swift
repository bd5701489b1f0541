// SPDX-License-Identifier: Apache-2.0
// The public face of the library.
import EftGeneration
import EftModels
import EftTensor
import EftTokenizers

/// A language model with its tokenizer, loaded within a memory limit, that continues text.
///
///     let model = try LanguageModel(folder: "./model", adapters: ["./adapter"], memoryLimit: 8 << 30)
///     print(try model.generate("Once upon a time", maxTokens: 64))
public final class LanguageModel {
    private let tokenizer: Tokenizer
    private let decoder: Decoder
    private let slots: [Int]

    /// Loads a model's folder (16-bit, bitsandbytes NF4 or EXL2) and PEFT adapters on top.
    /// - Parameter memoryLimit: the most bytes that weights, caches and workspaces may take together.
    /// - Throws: an error that says what is wrong with which file, or what does not fit.
    public init(folder: String, adapters: [String] = [], memoryLimit: Int = .max) throws {
        let model = try ModelFolder.open(folder)
        tokenizer = try Tokenizer.load(folder: folder)
        let backend = try CPUBackend(ledger: MemoryLedger(limit: memoryLimit))
        let decoder = try DecoderLoader(folder: model).load(backend: backend)
        self.decoder = decoder
        slots = try adapters.map { try AdapterFile.load($0, into: decoder) }
    }

    /// Continues a prompt; temperature 0 takes the likeliest token always.
    /// - Throws: an error when the prompt cannot be served or the memory limit does not suffice.
    public func generate(
        _ prompt: String, maxTokens: Int = 128, temperature: Float = 0, seed: UInt64 = 0
    ) throws -> String {
        let tokens = try tokenizer.encode(prompt, addSpecialTokens: true)
        var parameters = GenerationParameters(
            maxTokens: maxTokens, temperature: temperature, seed: seed)
        parameters.endTokens = Set(tokenizer.eosIDs)
        try parameters.validate()
        let need = GenerationNeed(contextLength: tokens.count + maxTokens)
        var answer: [Int32] = []
        _ = try Generator(decoder: decoder, need: need).run(
            [GenerationRequest(prompt: tokens, parameters: parameters, adapters: slots)]
        ) { _, token in
            answer.append(token)
            return true
        }
        return try tokenizer.decode(answer, skipSpecialTokens: true)
    }
}
