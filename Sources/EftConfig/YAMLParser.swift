// SPDX-License-Identifier: Apache-2.0
// A YAML reader that keeps order and lines, and bounds depth and alias expansion.

import CYAML

/// Reads YAML text into `ConfigNode`s.
///
/// The core schema only: null, truth values, numbers, strings, lists and mappings, with anchors,
/// aliases and merge keys. Plain scalars mean what `YAMLScalar` says; quoted ones and block scalars
/// are strings. Refused, each with its line: duplicate keys, other tags, several documents, keys
/// that are not scalars, an alias inside its own anchor, and documents beyond the limits.
package struct YAMLParser: ~Copyable {
    /// Limits on what a document may ask for.
    package struct Options: Sendable {
        /// Deepest nesting of lists and mappings, aliases followed.
        package var maximumDepth = 100
        /// Most values that aliases and merge keys may repeat, counted in full at each use.
        package var maximumAliasedNodes = 100_000

        /// The defaults.
        package init() {}
    }

    /// What an anchor stands for.
    struct Anchored {
        /// The value.
        var node: ConfigNode
        /// Its text, when it is a scalar and so may be a key.
        var text: String?
        /// Values in it, itself included.
        var nodeCount: Int
        /// Levels of lists and mappings in it.
        var depth: Int
    }

    private var events: YAMLEvents
    private let options: Options
    private let file: String?
    private var anchors: [String: Anchored] = [:]
    private var openAnchors: Set<String> = []
    private var aliasedNodes = 0

    /// Parses a document given as bytes.
    /// - Throws: `ConfigError` (`syntax`, `duplicateKey`, `badValue`, `tooLarge`) with the line.
    package static func parse(
        _ bytes: [UInt8], file: String? = nil, options: Options = Options()
    ) throws(ConfigError) -> ConfigNode {
        var parser = YAMLParser(
            events: try YAMLEvents(bytes, file: file), options: options, file: file)
        return try parser.document()
    }

    /// Parses a document given as text.
    /// - Throws: `ConfigError` (`syntax`, `duplicateKey`, `badValue`, `tooLarge`) with the line.
    package static func parse(
        _ text: String, file: String? = nil, options: Options = Options()
    ) throws(ConfigError) -> ConfigNode {
        try parse(Array(text.utf8), file: file, options: options)
    }

    private init(events: consuming YAMLEvents, options: Options, file: String?) {
        self.events = events
        self.options = options
        self.file = file
    }

    // MARK: Documents

    private mutating func document() throws(ConfigError) -> ConfigNode {
        let first = try events.next()
        if case .streamEnd = first.kind { return ConfigNode(.null, line: 1) }
        let root = try compose(first, depth: 0).node
        // What may follow is the end, or a second document, which throws.
        _ = try events.next()
        return root
    }

    // MARK: Nodes

    private mutating func compose(
        _ event: YAMLEvent, depth: Int
    ) throws(ConfigError) -> Anchored {
        let anchor = event.anchor
        if let anchor { openAnchors.insert(anchor) }
        var result: Anchored
        switch event.kind {
        case .scalar(let scalar):
            let value = try meaning(of: scalar, event)
            let text = scalar.text
            result = Anchored(
                node: ConfigNode(value, line: event.line), text: text, nodeCount: 1, depth: 0)
        case .alias(let name): return try alias(name, event, depth: depth)
        case .sequenceStart: result = try sequence(event, depth: depth + 1)
        case .mappingStart: result = try mapping(event, depth: depth + 1)
        case .sequenceEnd, .mappingEnd, .streamEnd:
            throw fault(.syntax, "the document ends where a value is expected", event.line)
        }
        if let anchor {
            openAnchors.remove(anchor)
            anchors[anchor] = result
        }
        return result
    }

    private mutating func sequence(
        _ start: YAMLEvent, depth: Int
    ) throws(ConfigError) -> Anchored {
        try check(depth: depth, start.line)
        try checkTag(start, "tag:yaml.org,2002:seq", "a list")
        var items: [ConfigNode] = []
        var nodeCount = 1
        var inner = 0
        while true {
            let event = try events.next()
            if case .sequenceEnd = event.kind { break }
            let item = try compose(event, depth: depth)
            items.append(item.node)
            nodeCount += item.nodeCount
            inner = max(inner, item.depth)
        }
        let node = ConfigNode(.array(items), line: start.line)
        return Anchored(node: node, text: nil, nodeCount: nodeCount, depth: inner + 1)
    }

    private mutating func mapping(
        _ start: YAMLEvent, depth: Int
    ) throws(ConfigError) -> Anchored {
        try check(depth: depth, start.line)
        try checkTag(start, "tag:yaml.org,2002:map", "a mapping")
        var own = ConfigObject()
        var merged: ConfigObject?
        var nodeCount = 1
        var inner = 0
        while true {
            let event = try events.next()
            if case .mappingEnd = event.kind { break }
            let isMerge = event.isMergeKey
            let key = try key(event, depth: depth)
            let value = try compose(try events.next(), depth: depth)
            nodeCount += value.nodeCount
            inner = max(inner, value.depth)
            if isMerge {
                guard merged == nil else { throw duplicate(key, event.line) }
                merged = try merge(value, event.line)
            } else if !own.insert(key, value.node, line: event.line) {
                throw duplicate(key, event.line)
            }
        }
        if var merged {
            for (key, node) in own.entries { merged[key] = node }
            own = merged
        }
        let node = ConfigNode(.object(own), line: start.line)
        return Anchored(node: node, text: nil, nodeCount: nodeCount, depth: inner + 1)
    }

    private mutating func key(_ event: YAMLEvent, depth: Int) throws(ConfigError) -> String {
        let key = try compose(event, depth: depth)
        guard let text = key.text else {
            throw fault(.badValue, "a key must be a word, not \(key.node.kindName)", event.line)
        }
        return text
    }

    // MARK: Aliases and merge keys

    private mutating func alias(
        _ name: String, _ event: YAMLEvent, depth: Int
    ) throws(ConfigError) -> Anchored {
        if openAnchors.contains(name) {
            throw fault(.badValue, "the alias *\(name) stands inside its own anchor", event.line)
        }
        guard let anchored = anchors[name] else {
            throw fault(
                .badValue, "the alias *\(name) has no anchor &\(name) before it", event.line)
        }
        try check(depth: depth + anchored.depth, event.line)
        aliasedNodes += anchored.nodeCount
        guard aliasedNodes <= options.maximumAliasedNodes else {
            throw fault(
                .tooLarge,
                "aliases repeat more than \(options.maximumAliasedNodes) values", event.line)
        }
        return anchored
    }

    /// The entries that a `<<` brings in; of several mappings the first that has a key gives its
    /// value.
    private func merge(_ value: Anchored, _ line: Int) throws(ConfigError) -> ConfigObject {
        let sources: [ConfigNode]
        if case .array(let items) = value.node.value {
            sources = items
        } else {
            sources = [value.node]
        }
        var merged = ConfigObject()
        for source in sources {
            guard case .object(let object) = source.value else {
                throw fault(
                    .wrongType, "<< takes a mapping or a list of mappings, not \(source.kindName)",
                    line)
            }
            for (key, node) in object.entries where merged[key] == nil { merged[key] = node }
        }
        return merged
    }

    // MARK: Scalars

    private func meaning(
        of scalar: YAMLEvent.Scalar, _ event: YAMLEvent
    ) throws(ConfigError) -> ConfigNode.Content {
        guard let tag = event.tag, tag != "!" else {
            // The non-specific tag "!" makes a plain scalar a string.
            let isPlain = scalar.isPlain && event.tag == nil
            return isPlain ? YAMLScalar.resolve(scalar.text) : .string(scalar.text)
        }
        let plain = YAMLScalar.resolve(scalar.text)
        switch (tag, plain) {
        case ("tag:yaml.org,2002:str", _): return .string(scalar.text)
        case ("tag:yaml.org,2002:null", .null), ("tag:yaml.org,2002:bool", .bool),
            ("tag:yaml.org,2002:int", .integer), ("tag:yaml.org,2002:float", .real):
            return plain
        case ("tag:yaml.org,2002:float", .integer(let value)): return .real(Double(value))
        case ("tag:yaml.org,2002:null", _), ("tag:yaml.org,2002:bool", _),
            ("tag:yaml.org,2002:int", _), ("tag:yaml.org,2002:float", _):
            throw fault(
                .badValue, "'\(excerpt(scalar.text))' is not what its tag \(formatted(tag)) says",
                event.line)
        default: throw unknownTag(tag, event.line)
        }
    }

    private func checkTag(
        _ event: YAMLEvent, _ expected: String, _ kind: String
    ) throws(ConfigError) {
        guard let tag = event.tag, tag != "!", tag != expected else { return }
        if tag.hasPrefix("tag:yaml.org,2002:"), Self.coreTags.contains(String(tag.dropFirst(18))) {
            throw fault(.badValue, "the tag \(formatted(tag)) stands before \(kind)", event.line)
        }
        throw unknownTag(tag, event.line)
    }

    private static let coreTags: Set = ["null", "bool", "int", "float", "str", "seq", "map"]

    private func formatted(_ tag: String) -> String {
        excerpt(
            tag.hasPrefix("tag:yaml.org,2002:") ? "!!" + tag.dropFirst(18) : tag)
    }

    // MARK: Errors

    private func check(depth: Int, _ line: Int) throws(ConfigError) {
        guard depth <= options.maximumDepth else {
            throw fault(
                .tooLarge, "values are nested deeper than \(options.maximumDepth)", line)
        }
    }

    private func unknownTag(_ tag: String, _ line: Int) -> ConfigError {
        fault(.badValue, "the tag \(formatted(tag)) is not supported; write the plain value", line)
    }

    private func duplicate(_ key: String, _ line: Int) -> ConfigError {
        fault(.duplicateKey, "the key '\(excerpt(key))' appears twice", line)
    }

    private func fault(_ code: ConfigError.Code, _ message: String, _ line: Int) -> ConfigError {
        ConfigError(code, message, file: file, line: line)
    }
}
