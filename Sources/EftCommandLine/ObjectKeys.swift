// SPDX-License-Identifier: Apache-2.0
// Keys of JSON objects that a command line gives one by one.

import EftConfig

/// Keys of options that take a JSON object, each given as an option of its own: `--name.key value`, `--name.key.inner value`,
/// as vLLM's command line has them.
struct ObjectKeys {
    private var entries: [(option: OptionSpecification, name: String, text: String)] = []

    /// Keeps a key.
    /// - Parameters:
    ///   - name: the option's name with the key behind it, as it was given.
    ///   - text: a JSON value; anything else is taken as a string.
    mutating func add(_ name: String, of option: OptionSpecification, text: String) {
        entries.append((option, name, text))
    }

    /// Puts the keys into the objects of their options, over what was given as a whole.
    /// - Throws: `UsageError` when the option's own value is no object, or a key stands below one that is none.
    func join(into result: inout ParsedArguments) throws(UsageError) {
        for (option, name, text) in entries {
            let path = name.split(separator: ".", omittingEmptySubsequences: false).dropFirst()
                .map { String($0).replacing("-", with: "_") }
            guard path.allSatisfy({ !$0.isEmpty }), path.count <= 16 else {
                throw UsageError("\(excerpt(name)) has no key behind a dot")
            }
            let value = (try? JSONParser.parse(text)) ?? ConfigNode(text)
            let whole = result.values[option.key]?.last ?? "{}"
            guard let object = try? JSONParser.parse(whole),
                let node = Self.setting(path[...], to: value, in: object)
            else {
                throw UsageError(
                    "\(excerpt(name)) sets a key of something that is no JSON object: '\(excerpt(whole))'"
                )
            }
            result.values[option.key] = [JSONWriter.text(node, layout: .minimal)]
        }
    }

    /// An object with a value at a path; nil when something on the way is no object.
    private static func setting(
        _ path: ArraySlice<String>, to value: ConfigNode, in node: ConfigNode
    ) -> ConfigNode? {
        guard let key = path.first else { return value }
        guard case .object(var object) = node.value else { return nil }
        guard
            let inner = setting(
                path.dropFirst(), to: value, in: object[key] ?? ConfigNode(ConfigObject()))
        else { return nil }
        object[key] = inner
        return ConfigNode(object)
    }
}
