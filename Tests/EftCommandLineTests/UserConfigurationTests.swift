// SPDX-License-Identifier: Apache-2.0
// Defaults from a file and the environment.

import EftCommandLine
import EftConfig
import EftFormats
import EftTestSupport
import Synchronization
import Testing

extension TemporaryFolder {
    /// Writes a file, with the folders above it.
    @discardableResult
    fileprivate func place(_ name: String, _ text: String) throws -> String {
        try FileSystem.createFolder(FileSystem.folder(of: file(name)))
        return try write(name, text)
    }
}

struct UserConfigurationTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func read(_ environment: [String: String]) throws -> UserConfiguration {
        try UserConfiguration.read { environment[$0] }
    }

    private func write(_ text: String) throws -> [String: String] {
        ["EFT_CONFIG": try folder.write("config.yml", text), "HOME": "/home/me"]
    }

    @Test func `without a file nothing is set`() throws {
        #expect(try read([:]) == UserConfiguration())
        #expect(try read(["HOME": folder.path]) == UserConfiguration())
        #expect(try read(["EFT_CONFIG": "none", "HOME": folder.path]) == UserConfiguration())
        #expect(throws: ConfigError.self) { try read(["EFT_CONFIG": folder.file("missing.yml")]) }
    }

    @Test(arguments: ["", "# nothing yet\n", "memory:\n"])
    func `an empty file sets nothing`(text: String) throws {
        let configuration = try read(write(text))
        #expect(configuration.options.isEmpty && configuration.modelFolders.isEmpty)
        #expect(configuration.file == folder.file("config.yml"))
    }

    @Test func `reads all keys, with paths below the file's folder and the home folder`() throws {
        let configuration = try read(
            write(
                """
                memory: 6GiB,6GiB
                threads: 4
                cache-dir: cache
                models: [~/models, /srv/models, more]
                """))
        #expect(
            configuration.options == [
                "memory": "6GiB,6GiB", "threads": "4", "cache-dir": folder.file("cache"),
            ])
        #expect(
            configuration.modelFolders == ["/home/me/models", "/srv/models", folder.file("more")])
        #expect(try read(write("models: /one")).modelFolders == ["/one"])
        #expect(try read(write("memory: 1000000")).options["memory"] == "1000000")
    }

    @Test func `finds the user's own file`() throws {
        try folder.place(".config/eft/config.yml", "threads: 2")
        try folder.place("xdg/eft/config.yml", "threads: 3")
        #expect(try read(["HOME": folder.path]).options["threads"] == "2")
        let both = ["HOME": folder.path, "XDG_CONFIG_HOME": folder.file("xdg")]
        #expect(try read(both).options["threads"] == "3")
        #expect(try read(both.merging(["EFT_CONFIG": ""]) { $1 }).options.isEmpty)
    }

    @Test func `the environment wins over the file`() throws {
        var environment = try write("memory: 8GiB\nthreads: 4\nmodels: [/a]\ncache-dir: /c")
        environment["EFT_MEMORY"] = "2GiB"
        environment["EFT_MODELS"] = "~/m:/srv/m"
        environment["EFT_CACHE_DIR"] = "/other"
        environment["EFT_THREADS"] = ""
        let configuration = try read(environment)
        #expect(
            configuration.options == ["memory": "2GiB", "threads": "4", "cache-dir": "/other"])
        #expect(configuration.modelFolders == ["/home/me/m", "/srv/m"])
    }

    @Test(
        arguments: [
            ("memroy: 8GiB", ":1: unknown key 'memroy'; did you mean 'memory'?"),
            ("threads: 2\ncache_dir: x", ":2: unknown key 'cache_dir'; did you mean 'cache-dir'?"),
            ("memory: much", ":1 (memory): takes a size such as 24GiB"),
            ("threads: 0", ":1 (threads): expected an integer from 1 to 1024, found 0"),
            ("threads: many", ":1 (threads): expected an integer, found the string 'many'"),
            ("models: [1]", ":1 (models[0]): expected a string, found 1"),
            ("- memory", "expected a mapping"), ("memory: [", "config.yml:"),
        ] as [(String, String)])
    func `refuses and says where`(text: String, message: String) throws {
        let environment = try write(text)
        let error = try #require(throws: ConfigError.self) { try read(environment) }
        #expect(error.description.contains(message), "\(error)")
    }

    @Test(arguments: [("EFT_MEMORY", "8Gib,"), ("EFT_THREADS", "0"), ("EFT_THREADS", "x")])
    func `refuses bad variables by name`(name: String, value: String) throws {
        let error = try #require(throws: ConfigError.self) { try read([name: value]) }
        #expect(error.description.contains(name) && error.description.contains("takes"))
    }

    @Test func `the command line wins over the configuration`() throws {
        var parsed = try ArgumentParser.parse(["-i", "x"], for: sampleQuantize)
        parsed.configuration = try read(["EFT_MEMORY": "2GiB", "EFT_THREADS": "2"])
        #expect(try parsed.memorySize("memory")?.bytes == 2 << 30)
        #expect(!parsed.isGiven("memory"))
        var given = try ArgumentParser.parse(["-i", "x", "--memory", "1G"], for: sampleQuantize)
        given.configuration = parsed.configuration
        #expect(try given.memorySize("memory")?.bytes == 1 << 30)
    }
}

struct ModelLocationTests {
    private let folder: TemporaryFolder
    private let location: ModelLocation

    init() throws {
        folder = try TemporaryFolder()
        for name in [
            "models/smollm2/config.json", "models/meta-llama/Llama-3.1-8B/config.json",
            "models/meta-llama/notes.txt", "models/empty/readme.md", "more/smollm2/config.json",
            "more/models--Qwen--Qwen3-8B/snapshots/abc/config.json",
            "more/models--Qwen--Qwen3-8B/snapshots/def/config.json", "gguf/model.Q4_K_M.gguf",
        ] {
            try folder.place(name, "{}")
        }
        try folder.place("more/models--Qwen--Qwen3-8B/refs/main", "abc\n")
        location = ModelLocation(folders: [folder.file("models"), folder.file("more")])
    }

    private func failure(_ text: String, _ location: ModelLocation) throws -> String {
        let error = try #require(throws: (any Error).self) { try location.resolve(text) }
        return "\(error)"
    }

    @Test func `existing paths stay as they are`() throws {
        for path in [folder.path, folder.file("models/smollm2/config.json"), "."] {
            #expect(try location.resolve(path) == path)
            #expect(location.find(path) == nil)
        }
    }

    @Test(
        arguments: [
            ("smollm2", "models/smollm2"),
            ("meta-llama/Llama-3.1-8B", "models/meta-llama/Llama-3.1-8B"),
            ("Llama-3.1-8B", "models/meta-llama/Llama-3.1-8B"),
            ("Qwen/Qwen3-8B", "more/models--Qwen--Qwen3-8B/snapshots/abc"),
            ("Qwen3-8B", "more/models--Qwen--Qwen3-8B/snapshots/abc"),
        ] as [(String, String)])
    func `finds models by name, in the first folder that has it`(name: String, path: String) throws
    {
        #expect(try location.resolve(name) == folder.file(path))
        #expect(location.find(name) == folder.file(path))
    }

    @Test func `lists each name once`() {
        #expect(
            location.names == ["meta-llama/Llama-3.1-8B", "smollm2", "Qwen/Qwen3-8B"])
        #expect(ModelLocation(folders: ["/nothing/here"]).names.isEmpty)
    }

    @Test func `says what there is`() throws {
        let near = try failure("smolm2", location)
        #expect(near.contains("did you mean 'smollm2'?") && near.contains("Qwen/Qwen3-8B"))
        let far = try failure("zzzzzz", location)
        #expect(!far.contains("did you mean"))
        #expect(far.hasSuffix(": meta-llama/Llama-3.1-8B, smollm2, Qwen/Qwen3-8B"))
        let none = try failure("smollm2", ModelLocation(folders: []))
        #expect(none.contains("config.yml"))
        let empty = try failure("smollm2", ModelLocation(folders: [folder.file("models/empty")]))
        #expect(empty.contains("there are no models in \(folder.file("models/empty"))"))
        let slip = try failure(folder.file("models/smollm"), location)
        #expect(slip.contains("did you mean '\(folder.file("models/smollm2"))'?"))
    }

    /// A hub that has one model here, and fetches another.
    private final class Source: ModelSource {
        let asked = Mutex([String]())
        func isName(_ text: String) -> Bool { text.contains("/") }
        func cached(_ name: String) -> String? { name == "org/here" ? "/cache/here" : nil }
        func model(_ name: String) throws -> String? {
            asked.withLock { $0.append(name) }
            guard isName(name) else { return nil }
            guard name == "org/there" || name.hasPrefix("hf.co/") else { throw Failure.notFound }
            return "/cache/there"
        }
        enum Failure: Error { case notFound }
    }

    @Test func `names that no folder holds are looked up on the hub, and paths are not`() throws {
        let source = Source()
        let location = ModelLocation(folders: [folder.file("models")], source: source)
        #expect(try location.resolve("org/here") == "/cache/here")
        #expect(try location.path("org/here") == "/cache/here")
        #expect(try location.adapter("org/here") == "/cache/here")
        for path in ["/no/thing", "./no/thing", "../no", "~/no", folder.path] {
            #expect(try location.path(path) == path)
            #expect(try location.adapter(path) == path)
        }
        // What the user's own folders hold goes first.
        #expect(try location.resolve("meta-llama/Llama-3.1-8B").hasPrefix(folder.path))
        #expect(source.asked.withLock { $0 }.isEmpty)
        #expect(try location.resolve("org/there") == "/cache/there")
        #expect(throws: Source.Failure.self) { try location.resolve("org/nowhere") }
        // The tests run in the package's folder.
        let slip = try failure("Sources/model", location)
        #expect(slip.contains("hf.co/Sources/model"))
        #expect(try location.resolve("hf.co/Sources/model") == "/cache/there")
        let none = try failure("org/model", ModelLocation(folders: []))
        #expect(none.contains("there is no folder"))
    }

    @Test func `a GGUF file is a model, and so is a folder with one`() throws {
        let file = folder.file("gguf/model.Q4_K_M.gguf")
        #expect(try location.resolve(file) == file)
        #expect(try location.resolve(folder.file("gguf")) == file)
        let all = ModelLocation(folders: [folder.path, folder.file("gguf")])
        #expect(try all.resolve("model.Q4_K_M.gguf") == file)
        #expect(all.names.contains("gguf/model.Q4_K_M.gguf"))
        let missing = try failure(folder.file("gguf/other.gguf"), location)
        #expect(missing.contains("there is no folder"))
        for name in ["a-00001-of-00002.gguf", "a-00002-of-00002.gguf", "mmproj-a.gguf"] {
            try folder.makeFolder(for: "split/" + name)
            try folder.write("split/" + name, "")
        }
        #expect(try location.resolve(folder.file("split")).hasSuffix("a-00001-of-00002.gguf"))
        try folder.write("gguf/other.gguf", "")
        let several = try failure(folder.file("gguf"), location)
        #expect(several.contains("several models") && several.contains("other.gguf"))
    }
}
