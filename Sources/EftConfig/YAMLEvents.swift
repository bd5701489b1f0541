// SPDX-License-Identifier: Apache-2.0
// libyaml's events as Swift values: the only file that touches libyaml.

import CYAML

/// One event of a YAML stream.
struct YAMLEvent {
    /// What happened.
    enum Kind {
        case scalar(Scalar)
        case alias(String)
        case sequenceStart
        case sequenceEnd
        case mappingStart
        case mappingEnd
        case streamEnd
    }

    /// A scalar as written.
    struct Scalar {
        /// The text, unescaped and unfolded.
        var text: String
        /// Whether it stands without quotes and is no block scalar.
        var isPlain: Bool
    }

    /// What happened.
    var kind: Kind
    /// The line where it begins, counted from 1.
    var line: Int
    /// The name of the anchor on it.
    var anchor: String?
    /// The tag on it, with handles expanded.
    var tag: String?

    /// Whether this is a plain `<<`.
    var isMergeKey: Bool {
        guard case .scalar(let scalar) = kind, scalar.isPlain, scalar.text == "<<" else {
            return false
        }
        return tag == nil
    }
}

/// The events of a YAML text, document marks left out except that a second document is reported as
/// an error.
struct YAMLEvents: ~Copyable {
    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let input: UnsafeMutableBufferPointer<UInt8>
    private let file: String?
    private var documentCount = 0

    /// Checks the encoding and opens a text; a byte-order mark in front is passed over.
    /// - Throws: `ConfigError` when it is not UTF-8, or memory is short.
    init(_ bytes: [UInt8], file: String?) throws(ConfigError) {
        guard String(validating: bytes, as: UTF8.self) != nil else {
            let line = bytes[..<Self.firstFault(bytes)].count { $0 == UInt8(ascii: "\n") } + 1
            throw ConfigError(
                .syntax, "the text is not valid UTF-8; save the file as UTF-8", file: file,
                line: line)
        }
        let text = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes[3...] : bytes[...]
        let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
        guard yaml_parser_initialize(parser) == 1 else {
            parser.deallocate()
            throw ConfigError(.unreadable, "not enough memory to read YAML", file: file)
        }
        let input = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: text.count)
        _ = input.initialize(from: text)
        self.parser = parser
        self.input = input
        self.file = file
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        yaml_parser_set_input_string(parser, input.baseAddress, input.count)
    }

    deinit {
        yaml_parser_delete(parser)
        parser.deallocate()
        input.deallocate()
    }

    /// Where the first byte stands that is no part of valid UTF-8.
    private static func firstFault(_ bytes: [UInt8]) -> Int {
        var decoder = UTF8()
        var iterator = bytes.makeIterator()
        var position = 0
        while case .scalarValue(let scalar) = decoder.decode(&iterator) {
            position += UTF8.width(scalar)
        }
        return min(position, bytes.count)
    }

    /// The next event.
    /// - Throws: `ConfigError` (`syntax`) with the line, in libyaml's words.
    mutating func next() throws(ConfigError) -> YAMLEvent {
        while true {
            var event = yaml_event_t()
            guard yaml_parser_parse(parser, &event) == 1 else { throw fault() }
            defer { yaml_event_delete(&event) }
            let line = Int(clamping: event.start_mark.line) + 1
            switch event.type {
            case YAML_DOCUMENT_START_EVENT:
                documentCount += 1
                guard documentCount == 1 else {
                    throw ConfigError(
                        .syntax, "a second document begins here; a file holds one document",
                        file: file, line: line)
                }
            case YAML_SCALAR_EVENT, YAML_ALIAS_EVENT, YAML_SEQUENCE_START_EVENT,
                YAML_SEQUENCE_END_EVENT, YAML_MAPPING_START_EVENT, YAML_MAPPING_END_EVENT,
                YAML_STREAM_END_EVENT:
                return translate(event, line: line)
            default: break
            }
        }
    }

    private func translate(_ event: yaml_event_t, line: Int) -> YAMLEvent {
        switch event.type {
        case YAML_SCALAR_EVENT:
            let scalar = event.data.scalar
            let text = UnsafeBufferPointer(start: scalar.value, count: Int(clamping: scalar.length))
            let isPlain = scalar.style == YAML_PLAIN_SCALAR_STYLE
            return YAMLEvent(
                kind: .scalar(.init(text: String(decoding: text, as: UTF8.self), isPlain: isPlain)),
                line: line, anchor: string(scalar.anchor), tag: string(scalar.tag))
        case YAML_ALIAS_EVENT:
            return YAMLEvent(kind: .alias(string(event.data.alias.anchor) ?? ""), line: line)
        case YAML_SEQUENCE_START_EVENT:
            let start = event.data.sequence_start
            return YAMLEvent(
                kind: .sequenceStart, line: line, anchor: string(start.anchor),
                tag: string(start.tag))
        case YAML_MAPPING_START_EVENT:
            let start = event.data.mapping_start
            return YAMLEvent(
                kind: .mappingStart, line: line, anchor: string(start.anchor),
                tag: string(start.tag))
        case YAML_SEQUENCE_END_EVENT: return YAMLEvent(kind: .sequenceEnd, line: line)
        case YAML_MAPPING_END_EVENT: return YAMLEvent(kind: .mappingEnd, line: line)
        default: return YAMLEvent(kind: .streamEnd, line: line)
        }
    }

    private func string(_ text: UnsafeMutablePointer<yaml_char_t>?) -> String? {
        text.map { String(decodingCString: $0, as: UTF8.self) }
    }

    // MARK: Errors

    private func fault() -> ConfigError {
        let problem = parser.pointee.problem.map { String(cString: $0) } ?? "the YAML is malformed"
        guard parser.pointee.error != YAML_MEMORY_ERROR else {
            return ConfigError(.unreadable, "not enough memory to read YAML", file: file)
        }
        if parser.pointee.error == YAML_READER_ERROR {
            let before = input.prefix(Int(clamping: parser.pointee.problem_offset))
            let line = before.count { $0 == UInt8(ascii: "\n") } + 1
            return ConfigError(.syntax, problem, file: file, line: line)
        }
        // libyaml counts a line more at the end of a text without a newline there.
        let lineCount = input.count { $0 == UInt8(ascii: "\n") } + 1
        let line = min(Int(clamping: parser.pointee.problem_mark.line) + 1, lineCount)
        var message = problem
        if let context = parser.pointee.context.map({ String(cString: $0) }) {
            let place = Int(clamping: parser.pointee.context_mark.line) + 1
            message += " (\(context)\(place == line ? "" : " that begins at line \(place)"))"
        }
        if isIndentedWithTab(line) { message += "; indent with spaces, not with tabs" }
        return ConfigError(.syntax, message, file: file, line: line)
    }

    /// Whether the white space in front of a line holds a tab.
    private func isIndentedWithTab(_ line: Int) -> Bool {
        var rest = input[...]
        for _ in 1..<max(line, 1) {
            guard let end = rest.firstIndex(of: UInt8(ascii: "\n")) else { return false }
            rest = rest[(end + 1)...]
        }
        return rest.prefix { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
            .contains(UInt8(ascii: "\t"))
    }
}
