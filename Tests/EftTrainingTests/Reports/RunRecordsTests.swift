// SPDX-License-Identifier: Apache-2.0
// The model card and the report that a run leaves.
import EftConfig
import EftFormats
import EftModels
import EftTestSupport
import Testing

@testable import EftTraining

@Suite struct RunRecordsTests {
    private func text(_ folder: TemporaryFolder, _ name: String) throws -> String {
        String(decoding: try FileSystem.read(folder.file(name)), as: UTF8.self)
    }

    /// Makes a run.
    /// - Returns: its notices.
    @discardableResult
    private func run(
        _ folder: TemporaryFolder, _ lines: String = "", adapter: String? = "lora",
        data: String? = nil
    ) throws -> [String] {
        var notices: [String] = []
        let config = try SmallJob.config(folder, adapter: adapter, data: data, lines)
        _ = try SmallJob.job(config, folder).run(onEvent: {
            if case .training(.notice(let text)) = $0 { notices.append(text) }
        })
        return notices
    }

    /// The YAML between the lines of hyphens.
    private func head(_ card: String) throws -> ConfigCursor {
        let parts = card.split(separator: "---\n", maxSplits: 2, omittingEmptySubsequences: false)
        try #require(parts.count == 3 && parts[0].isEmpty)
        return ConfigCursor(try YAMLParser.parse(String(parts[1])))
    }

    // MARK: The card

    @Test func `the card of an adapter has what the hub and PEFT look for`() throws {
        let folder = try SmallJob.workplace()
        try folder.write(
            "base/README.md", "---\nlicense: llama3.2\ntags: [a]\n---\n# Base\nlicense: none\n")
        #expect(
            try run(folder, "hub_token: hf_secretsecretsecretsecret\nwandb_api_key: k3y").isEmpty)
        let card = try text(folder, "out/README.md")
        let head = try head(card)
        #expect(try head.string("base_model", default: "") == folder.file("base"))
        #expect(try head.string("library_name", default: "") == "peft")
        #expect(try head.string("license", default: "") == "llama3.2")
        let tags = try head.required("tags").strings()
        #expect(tags.contains("base_model:adapter:\(folder.file("base"))"))
        #expect(tags.contains("lora") && tags.contains("transformers"))
        #expect(try head.optional("datasets") == nil)
        #expect(card.contains("| lora\\_r | 2 |") && card.contains("| learning\\_rate | 0.01 |"))
        #expect(
            card.contains("| Validation loss | ")
                && card.contains("- Eft \(ProgramVersion.current)"))
        for name in ["README.md", "report.html", "axolotl_config.yml"] {
            let text = try text(folder, "out/\(name)")
            #expect(!text.contains("hf_secret") && !text.contains("k3y"), "\(name)")
        }
    }

    @Test func `verbs find in the card how the base was held`() throws {
        let folder = try SmallJob.workplace()
        try run(folder, adapter: "qlora")
        try FileSystem.remove(folder.file("out/axolotl_config.yml"))
        let base = try AdapterBase(adapters: [folder.file("out")], option: nil)
        #expect(base.form == .nf4 && base.reason == .record("README.md"))
    }

    @Test func `the card of a whole model names no adapter`() throws {
        let folder = try SmallJob.workplace()
        try run(folder, adapter: nil)
        let card = try text(folder, "out/README.md")
        #expect(try head(card).string("library_name", default: "") == "transformers")
        #expect(!card.contains("adapter:") && !card.contains("lora"))
        #expect(try head(card).optional("license") == nil)
    }

    @Test func `a model from random weights stands on no base`() throws {
        let folder = try SmallJob.workplace()
        try folder.write("base/README.md", "---\nlicense: mit\n---\n")
        try run(folder, "reinit_weights: true", adapter: nil)
        let card = try text(folder, "out/README.md")
        #expect(try head(card).optional("base_model") == nil)
        #expect(try head(card).optional("license") == nil)
        #expect(card.contains("from random weights"))
    }

    @Test(arguments: [
        ("tatsu-lab/alpaca", true), ("a/b.c_d-1", true), ("./rows", false), ("/data/rows", false),
        ("rows.jsonl", false), ("a/b/c", false), ("../rows", false), ("a/", false),
        ("s3://a", false), ("a b/c", false),
    ])
    func `only names of the hub are listed as its data sets`(_ path: String, _ isName: Bool) {
        #expect(ModelCard.isHubName(path) == isName)
    }

    @Test func `a card is written anew until somebody changes it`() throws {
        let folder = try SmallJob.workplace()
        try run(folder)
        let first = try text(folder, "out/README.md")
        #expect(try run(folder, "weight_decay: 0.25").isEmpty)
        let second = try text(folder, "out/README.md")
        #expect(second != first && second.contains("0.25"))
        for mine in [second + "\nMy own words.\n", "# Mine\n", ""] {
            try folder.write("out/README.md", mine)
            let notices = try run(folder)
            #expect(notices.count == 1 && notices[0].contains("README.md"))
            #expect(try text(folder, "out/README.md") == mine)
        }
    }

    @Test(arguments: [
        "no head", "---\nlicense: mit", "---\n: : [\n---\n", "---\n- mit\n---\n",
        "---\nlicense: {a: b}\n---\n", "",
    ])
    func `a base's card that says nothing of a licence is passed over`(_ card: String) throws {
        let folder = try TemporaryFolder()
        try folder.write("README.md", card)
        #expect(BaseCard.license(folder.path).isEmpty)
    }

    // MARK: The report

    @Test func `the report has curves, counts, examples and the configuration`() throws {
        let folder = try SmallJob.workplace()
        try run(folder)
        let html = try text(folder, "out/report.html")
        #expect(html.hasPrefix("<!DOCTYPE html>"))
        for title in ["Loss", "Learning rate", "Gradient norm", "Tokens/s", "Memory, MiB"] {
            #expect(html.contains("aria-label=\"\(title)\""), "\(title)")
        }
        #expect(html.components(of: "<polyline") == 8)
        #expect(html.contains("<mark>") && html.contains("### Response:"))
        #expect(html.contains("lora_r: 2"))
        // Nothing is loaded from elsewhere, and nothing runs.
        for word in ["<script", "http://", "https://", "src=", "@import", "url("] {
            #expect(!html.contains(word), "\(word)")
        }
    }

    @Test func `texts of data and configuration are escaped`() throws {
        let folder = try SmallJob.workplace()
        let nasty = #"<script>alert('1')</script>\"&</pre>"#
        let rows = (0..<12).map {
            #"{"instruction": "\#(nasty) \#($0)", "input": "", "output": "\#(nasty)"}"#
        }
        try folder.write("nasty.jsonl", rows.joined(separator: "\n"))
        try run(
            folder, #"hub_model_id: "</pre><img src=x>""#,
            data: "{path: \(folder.file("nasty.jsonl")), type: alpaca}")
        let html = try text(folder, "out/report.html")
        #expect(!html.contains("<script") && !html.contains("<img"))
        #expect(
            html.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;&lt;/pre&gt;"))
        #expect(html.contains("&lt;img src=x&gt;"))
    }

    @Test func `a resumed run reports the whole curve, and the report can be left out`() throws {
        let folder = try SmallJob.workplace()
        try run(folder)
        try FileSystem.remove(folder.file("out/report.html"))
        try run(folder, "resume_from_checkpoint: \(folder.file("out/checkpoint-2"))")
        let html = try text(folder, "out/report.html")
        let line = try #require(html.firstMatch(of: /<polyline class="faint" points="([^"]*)"/))
        #expect(line.output.1.split(separator: " ").count == 4)
        try FileSystem.remove(folder.file("out/report.html"))
        try run(folder, "html_report: false")
        #expect(!FileSystem.exists(folder.file("out/report.html")))
        #expect(FileSystem.exists(folder.file("out/README.md")))
    }

    @Test func `rewards are drawn in a run that learns from preferences`() throws {
        let folder = try SmallJob.workplace()
        let pairs = (0..<12).map {
            #"{"prompt": "say \#($0)", "chosen": " the \#($0)", "rejected": " not \#($0)"}"#
        }
        try folder.write("pairs.jsonl", pairs.joined(separator: "\n"))
        try run(folder, "rl: dpo", data: "{path: \(folder.file("pairs.jsonl"))}")
        let html = try text(folder, "out/report.html")
        #expect(html.contains("aria-label=\"Reward margin\"") && html.contains("rejected:"))
        #expect(try text(folder, "out/README.md").contains("DPO, LoRA"))
    }

    @Test func `what cannot be written costs a line, not the run`() throws {
        let folder = try SmallJob.workplace()
        try FileSystem.createFolder(folder.file("out"))
        try folder.link("out/report.html.partial", to: "/dev/full")
        let notices = try run(folder)
        #expect(notices.count == 1 && notices[0].contains("No space left"))
        #expect(FileSystem.exists(folder.file("out/adapter_model.safetensors")))
    }

    // MARK: Charts and texts

    @Test func `a chart of any numbers is a drawing of finite coordinates, or none`() {
        let values: [[Double]] = [
            [], [1], [2, 2, 2], [0, 0], [1, 2, 3], [-1e300, 1e300], [1e-300, 2e-300],
            [.greatestFiniteMagnitude, -.greatestFiniteMagnitude], [1e16, 1e16 + 2], [-5, -1],
        ]
        for list in values {
            let points = list.enumerated().map { RunCurve.Point(step: $0 * 1000, value: $1) }
            let html = CurveChart("x", [.init(name: "x", style: "other", points: points)]).html
            #expect(html.isEmpty == (list.isEmpty || (list[0] - (list.last ?? 0)).isInfinite))
            #expect(!html.contains("nan") && !html.contains("inf"), "\(list)")
            for match in html.matches(of: /cy="([^"]*)"/) {
                let y = Double(match.output.1) ?? .nan
                #expect(y >= 10 && y <= 200, "\(list)")
            }
        }
    }

    @Test(
        arguments: [
            (0.42114, "0.4211"), (0, "0"), (13168, "13170"), (2.1e-5, "2.1e-05"), (1, "1"),
            (-0.5, "-0.5"), (999_999, "1000000"), (.nan, "nan"), (1e300, "1e+300"),
        ] as [(Double, String)])
    func `numbers have four digits that count`(_ value: Double, _ text: String) {
        #expect(ReportText.number(value) == text)
    }

    @Test func `spans and counts are written for people`() {
        #expect(ReportText.duration(4.25) == "4.25 s")
        #expect(ReportText.duration(125) == "2 min 5 s")
        #expect(ReportText.duration(3 * 3600 + 61) == "3 h 1 min")
        #expect(ReportText.duration(.nan) == "?")
        #expect(ReportText.count(1_234_567) == "1\u{202F}234\u{202F}567")
        #expect(ReportText.count(.min).hasPrefix("-9"))
        #expect(ReportText.html("a\u{0}b\u{1B}[1m") == "a\u{FFFD}b\u{FFFD}[1m")
    }
}

extension String {
    /// How often a text stands in this one.
    fileprivate func components(of text: String) -> Int { ranges(of: text).count }
}
