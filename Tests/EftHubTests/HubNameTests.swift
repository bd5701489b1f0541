// SPDX-License-Identifier: Apache-2.0
import EftTestSupport
import Testing

@testable import EftHub

/// Names as people type and paste them.
struct HubNameTests {
    @Test(
        arguments: [
            ("org/model", "org/model", nil, nil),
            ("org/model:v1.0", "org/model", "v1.0", nil),
            ("org/model@refs/pr/3", "org/model", "refs/pr/3", nil),
            ("org/model:Q4_K_M", "org/model", nil, "Q4_K_M"),
            ("org/model:ud-q4_k_xl", "org/model", nil, "ud-q4_k_xl"),
            ("org/model@main:q8_0", "org/model", "main", "q8_0"),
            ("org/model:sub/file.gguf", "org/model", nil, "sub/file.gguf"),
            ("hf.co/org/model:IQ3_XXS", "org/model", nil, "IQ3_XXS"),
            ("https://huggingface.co/org/model/", "org/model", nil, nil),
            ("https://huggingface.co/org/model/tree/dev", "org/model", "dev", nil),
            (
                "https://huggingface.co/org/model/blob/main/a/m.gguf?x=1", "org/model", "main",
                "a/m.gguf"
            ),
            ("hf://org/model", "org/model", nil, nil),
        ] as [(String, String, String?, String?)])
    func `names are read`(text: String, id: String, revision: String?, variant: String?) throws {
        let name = try #require(HubName(text))
        #expect(name.id == id)
        #expect(name.revision == revision)
        #expect(name.variant == variant)
    }

    @Test(arguments: [
        "", "model", "/org/model", "./org/model", "../model", "org/../model", "org/model/more",
        "org//model", "org/mo del", "org/-model", "org/model:", "org/model@", "org/model:../up",
        "org/model:a:b", "org/model@.hidden", "org/a--b", "org/model.git", "org/model:../x.gguf",
        "https://huggingface.co/datasets/org/rows", "org\0/model", "org/mödel",
    ])
    func `other texts are no names`(text: String) { #expect(HubName(text) == nil) }

    @Test func `data sets have names of their own`() throws {
        let address = "https://huggingface.co/datasets/org/rows/tree/main"
        let name = try #require(HubName(address, kind: .dataset))
        #expect(name.id == "org/rows")
        #expect(HubName("imdb", kind: .dataset) == nil)
        #expect(HubName("imdb", kind: .dataset, mayLackOwner: true)?.id == "imdb")
        #expect(name.at("v2") == nil)
        #expect(HubName("org/rows")?.at("v2")?.revision == "v2")
        #expect(HubName("org/rows")?.at("../v2") == nil)
    }

    @Test func `folders of the cache are named as other tools name them`() throws {
        let name = try #require(HubName("meta-llama/Llama-3.1-8B"))
        let repository = HubRepository(.model, name)
        #expect(repository.folderName == "models--meta-llama--Llama-3.1-8B")
        #expect(HubRepository(folderName: "models--meta-llama--Llama-3.1-8B") == repository)
        #expect(HubRepository(folderName: "datasets--imdb")?.id == "imdb")
        for other in [
            "models--", "models--a--b--c", "spaces--a--b", "models--..--b", "version.txt",
        ] {
            #expect(HubRepository(folderName: other) == nil)
        }
    }
}

/// Which files of a repository are taken.
struct ModelFilesTests {
    private func files(_ paths: [String], _ text: String = "org/model") throws -> ModelFiles {
        try ModelFiles(paths, of: #require(HubName(text)))
    }

    @Test func `a model's folder is its texts and its weights in one form`() throws {
        let texts = [
            "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
            "special_tokens_map.json", "chat_template.jinja", "tokenizer.model", "merges.txt",
            "tekken.json",
            "qwen.tiktoken", "additional_chat_templates/tool_use.jinja",
        ]
        let weights = [
            "model.safetensors.index.json", "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
        ]
        let others = [
            ".gitattributes", "README.md", "LICENSE", "consolidated.safetensors",
            "pytorch_model.bin", "flax_model.msgpack", "tf_model.h5", "onnx/model.onnx",
            "original/consolidated.00.pth", "original/tokenizer.model", "training_args.bin",
            "model-Q8_0.gguf", "eval_results.json", "onnx/config.json", "x.py",
        ]
        let chosen = try files(texts + others + weights)
        #expect(Set(chosen.texts) == Set(texts))
        #expect(chosen.weights == weights)
        #expect(chosen.model == nil)
    }

    @Test(arguments: [
        (
            [
                "model.safetensors", "model-00001-of-00001.safetensors",
                "model.safetensors.index.json",
            ],
            ["model.safetensors"]
        ),
        (["consolidated.safetensors"], ["consolidated.safetensors"]),
        (
            [
                "output-00001-of-00002.safetensors", "output-00002-of-00002.safetensors",
                "other.safetensors",
            ],
            ["output-00001-of-00002.safetensors", "output-00002-of-00002.safetensors"]
        ),
        (["pytorch_model.bin", "optimizer.bin", "rust_model.ot"], ["pytorch_model.bin"]),
        (
            ["pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json"],
            ["pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"]
        ),
        (
            ["adapter_model.bin", "adapter_model.safetensors", "optimizer.bin"],
            ["adapter_model.safetensors"]
        ),
    ])
    func `weights that are there twice are taken once`(paths: [String], weights: [String]) throws {
        #expect(try files(paths + ["config.json"]).weights == weights)
    }

    private static let types = [
        "README.md", "M-Q4_K_M.gguf", "M-IQ4_XS.gguf", "M.Q8_0.gguf", "mmproj-M-F16.gguf",
        "M-UD-Q2_K_XL.gguf", "BF16/M-BF16-00001-of-00002.gguf", "BF16/M-BF16-00002-of-00002.gguf",
        "M-Q4_K_S.gguf", "imatrix.gguf",
    ]

    @Test(arguments: [
        ("q4_k_m", ["M-Q4_K_M.gguf"]), ("Q8_0", ["M.Q8_0.gguf"]),
        ("Q2_K_XL", ["M-UD-Q2_K_XL.gguf"]), ("M-IQ4_XS.gguf", ["M-IQ4_XS.gguf"]),
        ("bf16", ["BF16/M-BF16-00001-of-00002.gguf", "BF16/M-BF16-00002-of-00002.gguf"]),
    ])
    func `the type of a GGUF file finds it`(type: String, paths: [String]) throws {
        let chosen = try files(Self.types, "org/model:\(type)")
        #expect(chosen.paths == paths)
        #expect(chosen.model == paths[0])
        #expect(chosen.chosenType == nil)
    }

    @Test func `of several GGUF files the usual type is taken, and told`() throws {
        let chosen = try files(Self.types)
        #expect(chosen.model == "M-Q4_K_M.gguf")
        #expect(chosen.chosenType == "Q4_K_M")
        #expect(try files(["only-F16.gguf"]).chosenType == nil)
    }

    @Test func `what is not there is told with what is`() throws {
        let error = #expect(throws: HubError.self) { try files(Self.types, "org/model:Q5_K_M") }
        for type in ["Q5_K_M", "IQ4_XS", "Q8_0", "UD-Q2_K_XL", "BF16"] {
            #expect(error?.message.contains(type) == true)
        }
        #expect(error?.message.contains("mmproj") == false)
        let several = #expect(throws: HubError.self) {
            try files(["a-Q2_K.gguf", "a-Q3_K_S.gguf"])
        }
        #expect(several?.message.contains("org/model:Q2_K") == true)
        let none = #expect(throws: HubError.self) { try files(["config.json", "model.onnx"]) }
        #expect(none?.code == .unsupported)
        #expect(none?.message.contains(".onnx") == true)
    }
}

/// Digests by which blobs are named.
struct BlobDigestTests {
    @Test(arguments: [
        ("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1"
        ),
    ])
    func `SHA-1 of the standard's texts`(text: String, hex: String) {
        var sum = SHA1()
        sum.update(Array(text.utf8))
        #expect(sum.finish() == hex)
    }

    @Test func `SHA-1 in pieces of all sizes`() {
        let million = [UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000)
        for size in [1_000_000, 65_537, 64, 63, 997] {
            var sum = SHA1()
            for start in stride(from: 0, to: million.count, by: size) {
                sum.update(Array(million[start..<min(start + size, million.count)]))
            }
            #expect(sum.finish() == "34aa973cd4c4daa4f61eeb2bdbad27316534016f")
        }
    }

    @Test func `a file has the digest that git gives it`() throws {
        let folder = try TemporaryFolder()
        // `echo hello | git hash-object --stdin`, and sha256sum.
        let path = try folder.write("hello", "hello\n")
        let git = try #require(
            BlobDigest(entityTag: "\"ce013625030ba8dba906f756967f9e9ca394464a\""))
        let large = try #require(
            BlobDigest(
                entityTag:
                    "W/\"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\""))
        #expect(try git.isOf(file: path))
        #expect(try large.isOf(file: path))
        let other = try folder.write("other", "hallo\n")
        #expect(try !git.isOf(file: other))
        #expect(try !large.isOf(file: other))
        #expect(BlobDigest(entityTag: "\"xyz\"") == nil)
    }
}

/// The environment.
struct HubSettingsTests {
    private func settings(_ environment: [String: String]) -> HubSettings {
        HubSettings { environment[$0] }
    }

    @Test(arguments: [
        (["HOME": "/h"], "/h/.cache/huggingface/hub"),
        (["HOME": "/h", "XDG_CACHE_HOME": "/x"], "/x/huggingface/hub"),
        (["HOME": "/h", "XDG_CACHE_HOME": "/x", "HF_HOME": "/f"], "/f/hub"),
        (["HOME": "/h", "HF_HOME": "~/f"], "/h/f/hub"),
        (["HF_HOME": "/f", "HUGGINGFACE_HUB_CACHE": "/old"], "/old"),
        (["HF_HOME": "/f", "HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "/c"], "/c"),
    ])
    func `the cache is where Python's tools have it`(environment: [String: String], folder: String)
    {
        #expect(settings(environment).cacheFolder == folder)
    }

    @Test func `addresses, tokens and switches`() throws {
        #expect(settings([:]).cacheFolder == nil)
        #expect(settings([:]).endpoint == "https://huggingface.co")
        #expect(settings(["HF_ENDPOINT": "https://mirror.org/"]).endpoint == "https://mirror.org")
        #expect(settings([:]).offlineVariable == nil)
        #expect(settings(["HF_HUB_OFFLINE": "0"]).offlineVariable == nil)
        #expect(settings(["HF_HUB_OFFLINE": "yes"]).offlineVariable == "HF_HUB_OFFLINE")
        #expect(settings(["SSL_CERT_FILE": "/a.pem"]).certificates == "/a.pem")
        let home = try TemporaryFolder()
        try home.write("token", "hf_kept\n")
        #expect(settings(["HF_HOME": home.path]).token == "hf_kept")
        #expect(settings(["HF_HOME": home.path, "HF_TOKEN": "hf_set "]).token == "hf_set")
        #expect(settings(["HF_TOKEN": "a\u{1}b"]).token == nil)
        let denied = ["HF_HOME": home.path, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"]
        #expect(settings(denied).token == nil)
    }
}
