// SPDX-License-Identifier: Apache-2.0
// Merging llama.cpp's form of an adapter gives the bytes of merging PEFT's.
import EftConversion
import EftFormats
import EftTensor
import EftTestSupport
import Testing

struct GGUFAdapterMergeTests {
    @Test func `a merge has the bytes of that with PEFT's folder`() throws {
        let folder = try TemporaryFolder()
        for (name, adapter) in [
            ("gguf", "gguf/adapters/gqa-tied.gguf"), ("peft", "lora/gqa-tied/adapter"),
        ] {
            try AdapterMerger(
                base: Fixtures.path("models/gqa-tied"), adapter: Fixtures.path(adapter),
                output: folder.file(name), options: AdapterMerger.Options(),
                backend: CPUBackend(threads: 2)
            ).run()
        }
        let file = "model.safetensors"
        #expect(
            try FileSystem.read(folder.file("gguf/\(file)"))
                == FileSystem.read(folder.file("peft/\(file)")))
    }
}
