// SPDX-License-Identifier: Apache-2.0
// Settings of sampling by the names that users type.
import EftConfig

extension GenerationParameters {
    /// The settings that `set` knows, with their values as text.
    package var named: [(name: String, value: String)] {
        [
            ("temperature", "\(temperature)"), ("top-k", "\(topK)"), ("top-p", "\(topP)"),
            ("min-p", "\(minP)"), ("typical-p", "\(typicalP)"),
            ("repetition-penalty", "\(repetitionPenalty)"),
            ("presence-penalty", "\(presencePenalty)"),
            ("frequency-penalty", "\(frequencyPenalty)"),
            ("seed", seed.map { "\($0)" } ?? "random"),
            ("stop", stop.isEmpty ? "none" : stop.map { "\"\($0)\"" }.joined(separator: " ")),
        ]
    }

    /// Changes a setting; underscores in names count as dashes.
    /// - Throws: `GenerationError` for names that there are not and values out of range; nothing is changed then.
    package mutating func set(_ name: String, to text: String) throws(GenerationError) {
        func number() throws(GenerationError) -> Float {
            guard let value = Float(text), value.isFinite else {
                throw GenerationError("\(name) takes a number; found '\(excerpt(text))'")
            }
            return value
        }
        func integer() throws(GenerationError) -> Int {
            guard let value = Int(text) else {
                throw GenerationError("\(name) takes an integer; found '\(excerpt(text))'")
            }
            return value
        }
        var changed = self
        switch name.replacing("_", with: "-") {
        case "temperature", "temp": changed.temperature = try number()
        case "top-k": changed.topK = try integer()
        case "top-p": changed.topP = try number()
        case "min-p": changed.minP = try number()
        case "typical-p": changed.typicalP = try number()
        case "repetition-penalty", "repeat-penalty": changed.repetitionPenalty = try number()
        case "presence-penalty": changed.presencePenalty = try number()
        case "frequency-penalty": changed.frequencyPenalty = try number()
        case "seed":
            changed.seed = text == "random" ? nil : UInt64(bitPattern: Int64(try integer()))
        case "stop":
            if text == "none" { changed.stop = [] } else { changed.stop.append(text) }
        case let other:
            let near = closestMatch(other, in: named.map(\.name)).map { "; did you mean \($0)?" }
            throw GenerationError("there is no setting '\(excerpt(name))'\(near ?? "")")
        }
        try changed.validate(GenerationLimits(maxStopStrings: 16, allowsNoTokens: true))
        self = changed
    }
}
