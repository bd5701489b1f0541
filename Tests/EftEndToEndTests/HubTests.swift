// SPDX-License-Identifier: Apache-2.0
// The program with names of the hub, served by the tests' own.
import EftConfig
import EftFormats
import EftTestHub
import EftTestSupport
import Testing

struct HubTests {
    private static let model = "Examples/demo/model"
    private let hub: TestHub
    private let home: TemporaryFolder
    private let environment: [String: String]

    init() throws {
        hub = try TestHub()
        home = try TemporaryFolder("home")
        environment = [
            "HF_ENDPOINT": hub.endpoint, "SSL_CERT_FILE": hub.certificates, "HF_HOME": home.path,
            "XDG_CACHE_HOME": home.file("caches"), "EFT_CONFIG": "none", "EFT_CACHE_DIR": "",
            "HF_HUB_CACHE": "", "HUGGINGFACE_HUB_CACHE": "", "HF_HUB_OFFLINE": "", "HF_TOKEN": "",
            "HUGGING_FACE_HUB_TOKEN": "", "CURL_CA_BUNDLE": "", "REQUESTS_CA_BUNDLE": "",
        ]
        let root = FileSystem.join(Fixtures.packageRoot, Self.model)
        hub.add(
            "org/demo",
            try FileSystem.list(root).map { name in
                TestHub.File(
                    name, try FileSystem.read(FileSystem.join(root, name)),
                    isLarge: name.hasSuffix(".safetensors"))
            } + [TestHub.File("README.md", "text")])
    }

    private func run(_ arguments: String..., adding more: [String: String] = [:]) throws -> Program
    {
        try Program(arguments, environment: environment.merging(more) { $1 })
    }

    private var weightBytes: Int {
        hub.visits.filter { $0.isStorage }.compactMap { visit -> Int? in
            let ends = visit.range?.dropFirst("bytes=".count).split(separator: "-")
                .compactMap { Int($0) }
            return ends.map { $0[1] - $0[0] + 1 }
        }.reduce(0, +)
    }

    /// What a plan says of the model, and not of the program, which has libcurl in memory or has it not.
    private static func figures(_ plan: Program) -> [Substring] {
        plan.output.replacing(model, with: "org/demo").split(separator: "\n").filter { line in
            !["\"program\"", "\"total\"", "\"limiting\"", "MiB"].contains { line.contains($0) }
        }
    }

    @Test func `a model is planned, fetched, run, listed and removed by its name`() throws {
        let plan = try run("plan", "org/demo", "--memory", "1GiB", "--no-speed", "--json")
        #expect(plan.status == 0, "\(plan.errors)")
        let same = try run("plan", Self.model, "--memory", "1GiB", "--no-speed", "--json")
        #expect(Self.figures(plan) == Self.figures(same))
        #expect((1...300_000).contains(weightBytes))
        hub.forget()

        let words = ["-p", "Once upon", "--max-tokens", "8", "--temperature", "0"]
        let local = try Program(["run", "-m", Self.model] + words, environment: environment)
        let named = try Program(["run", "-m", "org/demo"] + words, environment: environment)
        #expect(named.status == 0, "\(named.errors)")
        #expect(!local.output.isEmpty && named.output == local.output)
        hub.forget()
        let offline = try Program(
            ["run", "hf.co/org/demo"] + words,
            environment: environment.merging(["HF_HUB_OFFLINE": "1"]) { $1 })
        #expect(offline.output == local.output)
        #expect(hub.visits.isEmpty)

        let list = ConfigCursor(try JSONParser.parse(try run("list", "--json").output))
        let items = try list.required("items").elements()
        #expect(try items.map { try $0.required("name").string() } == ["org/demo"])
        #expect(try items.first?.required("complete").bool() == true)
        #expect(try run("list").output.contains("org/demo"))
        #expect(try run("rm", "org/dem").errors.contains("did you mean 'org/demo'"))
        #expect(try run("rm", "--dry-run", "org/demo").output.contains("would remove"))
        #expect(try run("rm", "org/demo").status == 0)
        #expect(try run("list").output.contains("nothing is here yet"))
        let gone = try run("run", "-m", "org/demo", "-p", "x", adding: ["HF_HUB_OFFLINE": "1"])
        #expect(gone.status == 1)
        #expect(gone.errors.contains("HF_HUB_OFFLINE"))
    }

    @Test func `what does not fit is not fetched`() throws {
        let result = try run("run", "-m", "org/demo", "-p", "x", "--memory", "4MiB")
        #expect(result.status == 3, "\(result.errors)")
        #expect((1...300_000).contains(weightBytes))
        let unknown = try run("run", "-m", "org/nothing", "-p", "x")
        #expect(unknown.status == 4)
        #expect(unknown.errors.contains("org/nothing"))
    }

    @Test func `a killed download goes on where it was`() throws {
        let bytes = [UInt8](repeating: 0, count: 3_000_000).indices.map {
            UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13)
        }
        hub.add(
            "org/large",
            [
                TestHub.File("config.json", "{}"),
                TestHub.File("m.safetensors", bytes, isLarge: true),
            ])
        hub.fault("m.safetensors", .hold(after: 900_000))
        let blobs = home.file("hub/models--org--large/blobs")
        let wasKilled = try Program.kill(["pull", "org/large"], environment: environment) {
            let names = (try? FileSystem.list(blobs)) ?? []
            guard let map = names.first(where: { $0.hasSuffix(".eft-parts") }),
                let bytes = try? FileSystem.read(FileSystem.join(blobs, map)), bytes.count == 32
            else { return false }
            let count = (24..<32).reduce(0) { $0 | Int(bytes[$1]) << (8 * ($1 - 24)) }
            return count == 900_000
        }
        #expect(wasKilled)
        #expect(try run("list").output.contains("in part"))
        hub.forget()
        let result = try run("pull", "org/large")
        #expect(result.status == 0, "\(result.errors)")
        #expect(hub.visits.contains { $0.range == "bytes=900000-2999999" })
        #expect(weightBytes == 2_100_000)
    }

    @Test func `a text is scored by the name of its data set`() throws {
        let rows = (0..<4).map { #"{"text": "Once upon a time there was a newt \#($0)."}"# }
            .joined(separator: "\n")
        hub.add(
            "org/texts", kind: .dataset,
            [
                TestHub.File("data/train.jsonl", "not needed"),
                TestHub.File("data/test.jsonl", Array(rows.utf8), isLarge: true),
            ])
        let words = ["eval", "-m", "org/demo", "--json", "--data"]
        let local = try home.write("texts.jsonl", rows)
        let scores = try [local, "org/texts", "org/texts"].map { data in
            let result = try Program(words + [data], environment: environment)
            #expect(result.status == 0, "\(result.errors)")
            return try ConfigCursor(JSONParser.parse(Array(result.output.utf8)))
                .required("perplexity").double()
        }
        #expect(Set(scores).count == 1)
        #expect(!hub.visits.contains { $0.path.hasSuffix("train.jsonl") })
    }

    @Test func `a configuration names its base and its data`() throws {
        let rows = (0..<4).map { #"{"text": "Once upon a time there was a newt \#($0)."}"# }
        hub.add(
            "org/rows", kind: .dataset,
            [
                TestHub.File("README.md", "text"),
                TestHub.File(
                    "data/train.jsonl", Array(rows.joined(separator: "\n").utf8), isLarge: true),
                TestHub.File("data/test.jsonl", "not needed"),
            ])
        hub.tag("org/demo", "v1")
        let config = try home.write(
            "lora.yml",
            """
            base_model: org/demo
            revision_of_model: v1
            adapter: lora
            lora_r: 2
            lora_alpha: 4
            lora_target_modules: [q_proj]
            datasets: [{path: org/rows, type: completion}]
            sequence_len: 64
            max_steps: 1
            learning_rate: 0.001
            output_dir: \(home.file("out"))
            """)
        let plan = try run("plan", config, "--no-speed")
        #expect(plan.status == 0, "\(plan.errors)")
        #expect((1...300_000).contains(weightBytes))
        let result = try run("train", config, "--memory", "1GiB")
        #expect(result.status == 0, "\(result.errors)")
        #expect(!hub.visits.contains { $0.path.hasSuffix("test.jsonl") })
        #expect(FileSystem.exists(home.file("hub/models--org--demo/refs/v1")))
        #expect(!FileSystem.exists(home.file("hub/models--org--demo/refs/main")))
        let adapter = try JSONParser.parse(
            FileSystem.read(home.file("out/adapter_config.json")))
        let base = try ConfigCursor(adapter).required("base_model_name_or_path").string()
        #expect(base == "org/demo")
        // The adapter goes by a name, too.
        hub.add(
            "org/adapter",
            try ["adapter_config.json", "adapter_model.safetensors"].map {
                TestHub.File($0, try FileSystem.read(home.file("out/\($0)")))
            })
        let words = [
            "run", "-m", "org/demo", "-p", "Once", "--max-tokens", "4", "--temperature", "0",
        ]
        let local = try Program(words + ["--adapter", home.file("out")], environment: environment)
        let named = try Program(words + ["--adapter", "org/adapter"], environment: environment)
        #expect(named.status == 0, "\(named.errors)")
        #expect(!local.output.isEmpty && named.output == local.output)
    }
}
