// SPDX-License-Identifier: Apache-2.0
// An adapter's tokenizer takes the place of the base's, whatever form both have.
import EftFormats
import EftTestSupport
import Testing

@testable import EftConversion

@Suite struct TokenizerCopyTests {
    @Test(arguments: [
        (["tokenizer.model"], ["tokenizer.json", "x.txt"], ["tokenizer.model", "x.txt"]),
        (
            ["tokenizer.json"], ["tokenizer.json", "tokenizer.model"],
            ["tokenizer.json", "tokenizer.model"]
        ),
        (
            ["qwen.tiktoken", "tokenizer_config.json", "generation_config.json"],
            ["tekken.json", "tokenizer.model"], ["qwen.tiktoken", "tokenizer_config.json"]
        ),
        (["tokenizer_config.json"], ["tokenizer.json"], ["tokenizer.json"]),
    ])
    func `the tokenizer of an adapter is the one that is read`(
        _ adapter: [String], _ base: [String], _ expected: [String]
    ) throws {
        let (source, output) = (try TemporaryFolder(), try TemporaryFolder())
        for name in adapter { try source.write(name, "adapter") }
        for name in base { try output.write(name, "base") }
        try OutputFolder.copyTokenizer(from: source.path, to: output.path)
        #expect(try FileSystem.list(output.path).sorted() == expected.sorted())
        for name in expected where adapter.contains(name) {
            #expect(try FileSystem.read(output.file(name)) == Array("adapter".utf8))
        }
    }
}
