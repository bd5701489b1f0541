// SPDX-License-Identifier: Apache-2.0
// The runs of a sweep: one configuration with all combinations of some keys' values.
import EftConfig
import EftFormats

/// What `--sweep FILE` of Axolotl stands for.
///
/// The file holds lists of values by keys, each combined with each, and under `_` a list of mappings whose keys go together.
/// The runs are in the order in which Axolotl makes them, with the same folders: `sweep0001` and so on in `output_dir`.
package struct SweepPlan: Sendable {
    /// One configuration.
    package struct Run: Sendable {
        /// `sweep0001` and so on.
        package let name: String
        /// The keys that the sweep sets.
        package let changes: ConfigObject
        /// The whole configuration, with the run's own `output_dir`.
        package let config: ConfigNode
        /// The run's `output_dir`.
        package let folder: String
    }

    /// The runs, in their order.
    package let runs: [Run]

    /// Most runs of a sweep; more is a mistake in its file.
    package static let mostRuns = 9999

    /// Combines a configuration with the values of a sweep.
    /// - Parameter output: what takes the place of `output_dir`; nil for that of the configuration.
    /// - Throws: `ConfigError` for a sweep that is not as described, and for unknown keys.
    package init(
        _ base: ConfigCursor, sweep: ConfigCursor, output: String? = nil
    ) throws(ConfigError) {
        var combinations = [ConfigObject()]
        var pairs: [ConfigObject]?
        for (key, value) in try sweep.entries() {
            if key == "_" {
                var list: [ConfigObject] = []
                for item in try value.elements() {
                    for (inner, _) in try item.entries() { try Self.check(inner, item) }
                    list.append(try item.object())
                }
                pairs = list.isEmpty ? nil : list
                continue
            }
            try Self.check(key, value)
            let values = try value.elements()
            guard !values.isEmpty else { throw value.error(.badValue, "holds no value") }
            guard values.count <= Self.mostRuns / combinations.count else {
                throw Self.tooMany(value)
            }
            combinations = Self.combined(combinations, key, values)
        }
        if let pairs {
            guard pairs.count <= Self.mostRuns / combinations.count else {
                throw Self.tooMany(sweep)
            }
            combinations = combinations.flatMap { single in
                pairs.map { pair in
                    var both = single
                    for entry in pair.entries { both[entry.key] = entry.node }
                    return both
                }
            }
        }
        guard combinations.contains(where: { !$0.isEmpty }) else {
            throw sweep.error(.badValue, "sets no key")
        }
        var random = PythonRandom(seed: 42)
        random.shuffle(&combinations)
        let object = try base.object()
        let named = try base.string("output_dir", default: "./model-out")
        let usual = output ?? named
        var runs: [Run] = []
        for (index, changes) in combinations.enumerated() {
            var config = object
            for entry in changes.entries { config[entry.key] = entry.node }
            let digits = String(index + 1)
            let name = "sweep" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
            var folder = usual
            if output == nil, case .string(let own)? = changes["output_dir"]?.value { folder = own }
            folder = FileSystem.join(folder, name)
            config["output_dir"] = ConfigNode(folder)
            runs.append(
                Run(name: name, changes: changes, config: ConfigNode(config), folder: folder))
        }
        self.runs = runs
    }

    private static func combined(
        _ combinations: [ConfigObject], _ key: String, _ values: [ConfigCursor]
    ) -> [ConfigObject] {
        combinations.flatMap { combination in
            values.map { value in
                var next = combination
                next[key] = value.node
                return next
            }
        }
    }

    private static func check(_ key: String, _ value: ConfigCursor) throws(ConfigError) {
        guard !AxolotlConfig.isKey(key) else { return }
        let near = closestMatch(key, in: AxolotlConfig.keys).map { "; did you mean '\($0)'?" } ?? ""
        throw value.error(.badValue, "'\(excerpt(key))' is no key of a configuration\(near)")
    }

    private static func tooMany(_ value: ConfigCursor) -> ConfigError {
        value.error(.tooLarge, "makes more than \(mostRuns) runs")
    }
}
