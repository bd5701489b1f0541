// SPDX-License-Identifier: Apache-2.0
// Everything that reads bytes of others, without a model: files, documents, templates.
import EftConfig
import EftFormats
import EftFuzzDriver
import EftGGUF
import EftJinja
import EftTokenizers

@main
enum ParserFuzz {
    static func main() {
        FuzzDriver.run([
            "safetensors": { bytes in
                FuzzDriver.withFile(bytes, ending: ".safetensors") { path in
                    readTensors { try SafetensorsFile(path: path) }
                }
            },
            "torch": { bytes in
                FuzzDriver.withFile(bytes, ending: ".bin") { path in
                    readTensors { try TorchPickle(path: path) }
                }
            },
            "gguf": { bytes in
                FuzzDriver.withFile(bytes, ending: ".gguf") { path in
                    readTensors { try GGUFCheckpoint(path: path, headDim: 8) }
                    for name in GGUFModel.documents {
                        _ = try? FileSystem.read(FileSystem.join(path, name))
                    }
                }
            },
            "tokenizer": { bytes in
                guard let tokenizer = try? Tokenizer(json: bytes) else { return }
                guard let ids = try? tokenizer.encode(Self.text, addSpecialTokens: true) else {
                    return
                }
                _ = try? tokenizer.decode(ids)
            },
            "jinja": { bytes in
                guard let template = try? Template(String(decoding: bytes, as: UTF8.self)) else {
                    return
                }
                guard let node = try? JSONParser.parse(Self.context),
                    case .dictionary(let context)? = try? TemplateValue(node)
                else { fatalError("the context is a mapping") }
                _ = try? template.render(context, now: 0)
            },
            "yaml": { bytes in _ = try? YAMLParser.parse(bytes) },
            "json": { bytes in
                for accepts in [false, true] {
                    guard let node = try? JSONParser.parse(bytes, acceptsNonFinite: accepts) else {
                        continue
                    }
                    // What was read and is written is read as the same.
                    let text = JSONWriter.bytes(node, layout: .indented(2))
                    guard (try? JSONParser.parse(text, acceptsNonFinite: accepts)) != nil else {
                        fatalError("a document that was written is not read")
                    }
                }
            },
            "parquet": { bytes in
                FuzzDriver.withFile(bytes, ending: ".parquet") { path in
                    guard let rows = try? ParquetRows(path) else { return }
                    for _ in 0..<1000 {
                        guard let row = try? rows.next() else { return }
                        _ = row
                    }
                }
            },
        ])
    }

    /// Text with words, numbers, other scripts, a broken end and special tokens.
    private static let text = "Hello, <|im_start|> world 12345  Grüße, こんにちは 👩‍🚀\n\t<s></s>"

    private static let context = """
        {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"},
         {"role": "assistant", "content": "Hello", "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1, 2.5]}}}]}],
         "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
         "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>", "number": -7, "list": [3, 1, 2], "none": null}
        """

    /// Opens a checkpoint and reads a little of each tensor.
    private static func readTensors(_ open: () throws -> any CheckpointReader) {
        guard let checkpoint = try? open() else { return }
        for info in checkpoint.tensors.prefix(64) {
            let count = min(info.byteCount, 4096)
            var bytes = [UInt8](repeating: 0, count: count)
            try? bytes.withUnsafeMutableBytes {
                try checkpoint.read(info.name, bytes: 0..<count, into: $0)
            }
            let last =
                max(info.byteCount - 64, 0) / max(info.dtype.byteWidth, 1)
                * info.dtype.byteWidth
            var end = [UInt8](repeating: 0, count: info.byteCount - last)
            guard end.count <= 4096 else { continue }
            try? end.withUnsafeMutableBytes {
                try checkpoint.read(info.name, bytes: last..<info.byteCount, into: $0)
            }
        }
    }
}
