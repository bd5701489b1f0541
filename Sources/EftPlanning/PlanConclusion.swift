// SPDX-License-Identifier: Apache-2.0
// What a plan comes to: sentences, each with the commands to type.
import EftConfig

/// A command line that a plan advises, without the program's name.
package struct AdvisedCommand: Sendable, Hashable {
    /// The verb and what stands behind it.
    package let words: [String]

    /// Takes words.
    package init(_ words: [String]) { self.words = words }

    /// The words as a shell takes them.
    package var quoted: [String] { words.map(AdvisedCommand.quoted) }

    private static func quoted(_ word: String) -> String {
        let isPlain = word.utf8.allSatisfy {
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
                || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                || "_@%+=:,./-".utf8.contains($0)
        }
        return isPlain && !word.isEmpty
            ? word : "'" + word.replacing("'", with: "'\\''") + "'"
    }
}

/// What to do with a model on a machine.
package struct PlanConclusion: Sendable, Hashable {
    /// One piece of advice.
    package struct Item: Sendable, Hashable {
        /// A sentence or two.
        package var text: String
        /// What to type, in order.
        package var commands: [AdvisedCommand]
        /// A file that the commands read and that is to be written first.
        package var file: File?

        /// A small text file.
        package struct File: Sendable, Hashable {
            /// Its name.
            package var name: String
            /// What stands in it.
            package var contents: String

            /// Makes a file.
            package init(name: String, contents: String) {
                self.name = name
                self.contents = contents
            }
        }

        /// Makes a piece of advice.
        package init(_ text: String, _ commands: [[String]] = []) {
            self.text = text
            self.commands = commands.map(AdvisedCommand.init)
        }
    }

    /// The model and the budget.
    package var headline: String
    /// The advice, most important first.
    package var items: [Item]

    /// Makes a conclusion.
    package init(headline: String, items: [Item]) {
        self.headline = headline
        self.items = items
    }

    /// The conclusion as an object for machines.
    package var node: ConfigNode {
        var object = ConfigObject()
        object["model"] = ConfigNode(headline)
        object["advice"] = ConfigNode(
            items.map { item in
                var entry = ConfigObject()
                entry["text"] = ConfigNode(item.text)
                entry["commands"] = ConfigNode(item.commands.map { ConfigNode($0.words) })
                if let file = item.file {
                    entry["file"] = [
                        "name": ConfigNode(file.name), "contents": ConfigNode(file.contents),
                    ]
                }
                return ConfigNode(entry)
            })
        return ConfigNode(object)
    }
}

/// What a conclusion speaks of, as the user named it.
package struct PlanSubject: Sendable, Hashable {
    /// The model's folder.
    package var model: String
    /// The text of `--memory`; nil when it was not given.
    package var memory: String?
    /// The context that was asked for; nil when it was not.
    package var context: Int?
    /// Tokens of a training step.
    package var stepTokens: Int
    /// Whether weights are there; otherwise there is only a `config.json`.
    package var hasWeights: Bool
    /// Whether the weights are plain numbers, which can be quantized.
    package var isDense: Bool
    /// Whether the model has a chat template.
    package var isChat: Bool

    /// Names a model.
    package init(
        model: String, memory: String?, context: Int?, stepTokens: Int, hasWeights: Bool,
        isDense: Bool, isChat: Bool
    ) {
        self.model = model
        self.memory = memory
        self.context = context
        self.stepTokens = stepTokens
        self.hasWeights = hasWeights
        self.isDense = isDense
        self.isChat = isChat
    }

    /// The budget as options.
    package var budget: [String] { memory.map { ["--memory", $0] } ?? [] }

    /// A folder beside the current one that is named after the model.
    package func derived(_ suffix: String) -> String {
        // A name on the hub may end with a revision or a type.
        let name =
            model.split(separator: "/").last?.split { $0 == ":" || $0 == "@" }.first
            .map(String.init) ?? ""
        return (["", ".", ".."].contains(name) ? "./model" : "./" + name) + "-" + suffix
    }
}
