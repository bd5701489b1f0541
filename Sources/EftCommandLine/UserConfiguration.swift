// SPDX-License-Identifier: Apache-2.0
// Defaults that a user has set for all runs, in a file and in the environment.

import EftConfig

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What holds when the command line does not say otherwise.
///
/// The environment wins over the file, the command line over both.
package struct UserConfiguration: Sendable, Hashable {
    /// The file that was read; nil when there is none.
    package private(set) var file: String?
    /// Values of options by their key, such as `memory`.
    package private(set) var options: [String: String] = [:]
    /// Folders in which models are looked up by name, in this order.
    package private(set) var modelFolders: [String] = []

    /// Sets nothing.
    package init() {}

    /// The keys of the file.
    private enum Key: String, CaseIterable {
        case memory
        case cacheFolder = "cache-dir"
        case threads
        case models

        /// The environment variable for the same.
        var variable: String {
            switch self {
            case .memory: "EFT_MEMORY"
            case .cacheFolder: "EFT_CACHE_DIR"
            case .threads: "EFT_THREADS"
            case .models: "EFT_MODELS"
            }
        }
    }

    private static let maximumSize = 1 << 20
    private static let threadRange = 1...1024

    /// Reads the file that the environment names, or the user's own, and then the environment.
    /// - Parameter environment: the value of a variable.
    /// - Throws: `ConfigError` with file and line for unknown keys and bad values.
    package static func read(
        environment: (String) -> String? = UserConfiguration.variable
    ) throws(ConfigError) -> UserConfiguration {
        var result = UserConfiguration()
        if let path = try location(environment) { try result.add(file: path, environment) }
        for key in Key.allCases {
            guard let text = environment(key.variable), !text.isEmpty else { continue }
            try result.add(key, text, environment)
        }
        return result
    }

    /// The value of a variable of this process.
    package static func variable(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }

    // MARK: The file

    /// Where the file is; nil when there is none, or when none is to be read.
    private static func location(
        _ environment: (String) -> String?
    ) throws(ConfigError) -> String? {
        if let named = environment("EFT_CONFIG") {
            return named.isEmpty || named == "none" ? nil : named
        }
        func folder(_ name: String, _ below: String) -> String? {
            guard let text = environment(name), text.hasPrefix("/") else { return nil }
            return text + below
        }
        guard let folder = folder("XDG_CONFIG_HOME", "/eft") ?? folder("HOME", "/.config/eft")
        else { return nil }
        let path = folder + "/config.yml"
        return access(path, F_OK) == 0 ? path : nil
    }

    private mutating func add(
        file path: String, _ environment: (String) -> String?
    ) throws(ConfigError) {
        file = path
        let document = try ConfigFile.read(path, maximumSize: Self.maximumSize)
        // A file of comments alone holds null.
        if case .null = document.node.value { return }
        if let error = try document.unknownKeys(known: Key.allCases.map(\.rawValue)).first {
            throw error
        }
        let home = environment("HOME")
        let folder = path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
            .joined(separator: "/")
        let place = { (text: String) in Self.place(text, below: folder, home: home) }
        if let memory = try document.optional(Key.memory.rawValue) {
            let text =
                if case .integer(let bytes) = memory.node.value { "\(bytes)" } else {
                    try memory.string()
                }
            guard MemorySize.parseList(text) != nil else {
                throw memory.error(.badValue, Self.noSize(text))
            }
            options["memory"] = text
        }
        if let threads = try document.optional(Key.threads.rawValue) {
            options["threads"] = "\(try threads.int(in: Self.threadRange))"
        }
        if let cache = try document.optional(Key.cacheFolder.rawValue) {
            options["cache-dir"] = place(try cache.string())
        }
        if let models = try document.optional(Key.models.rawValue) {
            let isList = if case .array = models.node.value { true } else { false }
            modelFolders = try (isList ? models.strings() : [models.string()]).map(place)
        }
    }

    // MARK: The environment

    private mutating func add(
        _ key: Key, _ text: String, _ environment: (String) -> String?
    ) throws(ConfigError) {
        func fault(_ message: String) -> ConfigError {
            ConfigError(.badValue, "the environment variable \(key.variable) \(message)")
        }
        let home = environment("HOME")
        switch key {
        case .memory:
            guard MemorySize.parseList(text) != nil else { throw fault(Self.noSize(text)) }
            options["memory"] = text
        case .threads:
            guard let count = Int(text), Self.threadRange.contains(count) else {
                throw fault(
                    "takes an integer from \(Self.threadRange.lowerBound) to "
                        + "\(Self.threadRange.upperBound); found '\(excerpt(text))'")
            }
            options["threads"] = text
        case .cacheFolder: options["cache-dir"] = Self.place(text, below: "", home: home)
        case .models:
            modelFolders = text.split(separator: ":").map {
                Self.place(String($0), below: "", home: home)
            }
        }
    }

    private static func noSize(_ text: String) -> String {
        "takes a size such as 24GiB, or a list such as 6GiB,6GiB; found '\(excerpt(text))'"
    }

    /// A path with `~` for the home folder, relative ones below a folder.
    private static func place(_ text: String, below folder: String, home: String?) -> String {
        if text == "~" || text.hasPrefix("~/"), let home { return home + text.dropFirst() }
        guard !text.hasPrefix("/"), !folder.isEmpty else { return text }
        return "\(folder)/\(text)"
    }
}
