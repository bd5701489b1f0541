// SPDX-License-Identifier: Apache-2.0
// The model card beside what was trained: README.md.
import EftConfig
import EftFormats

/// The `README.md` of a result, in the form of the Hugging Face hub, with what PEFT and Axolotl write into theirs.
struct ModelCard {
    private let facts: RunFacts

    /// The file's name.
    static let name = "README.md"

    init(_ facts: RunFacts) { self.facts = facts }

    /// The whole text.
    var text: String {
        """
        ---
        \(YAMLWriter.text(ConfigNode(head)))---

        \(OwnedText.comment)

        # \(ReportText.markdown(facts.name))

        \(sentence)

        ## Results

        \(table(facts.results, "", "value"))
        ## Training

        \(table(facts.hyperparameters, "key", "value"))
        ## Data

        \(table(facts.data, "", ""))
        ## Framework versions

        - Eft \(ProgramVersion.current)

        <details><summary>Configuration</summary>

        ```yaml
        \(facts.yaml)```

        </details>

        """
    }

    private var sentence: String {
        let base = ReportText.markdown(facts.baseModel)
        guard facts.adapter != nil else {
            guard !facts.isFresh else {
                return "A model of the shape of \(base), trained with Eft from random weights."
            }
            return "A model trained with Eft (\(facts.method)) from \(base)."
        }
        return "An adapter (\(facts.method)) for \(base), trained with Eft. "
            + (facts.config.training.scoring == nil
                ? "PEFT, vLLM and Eft load it: `eft chat -m BASE --adapter FOLDER`."
                : "PEFT and Eft load it: `eft eval -m BASE --adapter FOLDER --rewards FILE`.")
    }

    private func table(
        _ rows: [(name: String, value: String)], _ first: String, _ second: String
    ) -> String {
        let lines = rows.map {
            "| \(ReportText.markdown($0.name)) | \(ReportText.markdown($0.value)) |\n"
        }
        return "| \(first) | \(second) |\n|---|---|\n" + lines.joined()
    }

    // MARK: Front matter

    /// What the hub reads.
    private var head: ConfigObject {
        let base = facts.baseModel
        var head = ConfigObject()
        if !facts.isFresh { head["base_model"] = ConfigNode(base) }
        head["library_name"] = ConfigNode(facts.adapter == nil ? "transformers" : "peft")
        let license = BaseCard.license(facts.config.model.baseModel)
        // Weights made anew take nothing from those of another model.
        for (key, value) in license.entries where !facts.isFresh { head[key] = value }
        head["pipeline_tag"] =
            switch facts.config.training.scoring?.head.kind {
            case nil: "text-generation"
            case .text: "text-classification"
            case .tokens: "token-classification"
            }
        var tags =
            facts.adapter == nil
            ? ["transformers"] : ["base_model:adapter:\(base)", "lora", "transformers"]
        if !facts.rl.isEmpty { tags.append(facts.rl) }
        if let scoring = facts.config.training.scoring {
            tags.append(scoring.takesPairs ? "reward-model" : "prm")
        }
        head["tags"] = ConfigNode(tags + ["eft"])
        let sets = facts.config.data.datasets.map(\.path).filter(Self.isHubName)
        if !sets.isEmpty { head["datasets"] = ConfigNode(sets) }
        return head
    }

    /// Whether a path can be the name of a data set of the hub: `owner/name`, and no file here.
    static func isHubName(_ path: String) -> Bool {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        return parts.count == 2 && !FileSystem.exists(path)
            && parts.allSatisfy { part in
                !part.isEmpty && !part.hasPrefix(".")
                    && part.allSatisfy { $0.isLetter || $0.isNumber || "-_.".contains($0) }
            }
    }
}

/// What the base model's own card says.
enum BaseCard {
    /// Largest card that is looked into.
    private static let largest = 1 << 20

    /// The entries about the licence in the card's head; none when it has no card, or a damaged one.
    static func license(_ folder: String) -> ConfigObject {
        var found = ConfigObject()
        let path = FileSystem.join(folder, ModelCard.name)
        guard let size = FileSystem.byteCount(path), size <= largest,
            let bytes = try? FileSystem.read(path),
            let node = head(String(decoding: bytes, as: UTF8.self)),
            case .object(let head) = node.value
        else { return found }
        for key in ["license", "license_name", "license_link"] {
            switch head[key]?.value {
            case .string(let text) where !text.isEmpty: found[key] = ConfigNode(text)
            case .array(let items): found[key] = ConfigNode(items)
            default: break
            }
        }
        return found
    }

    /// The YAML between the first two lines of hyphens.
    private static func head(_ text: String) -> ConfigNode? {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.hasSuffix("\r") ? $0.dropLast() : $0 }
        guard lines.first == "---", let end = lines.dropFirst().firstIndex(of: "---") else {
            return nil
        }
        return try? YAMLParser.parse(lines[1..<end].joined(separator: "\n") + "\n")
    }
}
