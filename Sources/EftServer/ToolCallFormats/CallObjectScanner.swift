// SPDX-License-Identifier: Apache-2.0
// Reads a call that is written as a JSON object with a name and arguments.

import EftConfig
import EftGeneration

/// Follows one object, byte by byte, and passes on its arguments as they were written.
struct CallObjectScanner: Sendable {
    /// How the object stands.
    enum Progress: Sendable {
        case inside
        /// This byte was its last.
        case ended
        /// This byte cannot stand here, or the object is no call; the byte was not used.
        case failed
    }

    /// What an object must be to count as a call.
    struct Rules: Sendable {
        /// The only names that count; nil for any.
        var names: Set<String>?
        /// Whether keys other than those of calls make it something else.
        var refusesOtherKeys = false
    }

    private enum State: Sendable {
        case keyOrEnd, key, colon, valueStart, value, afterValue
    }

    private enum Role: Sendable {
        case name, arguments, other
    }

    /// Longest name of a function, and most bytes kept because a name comes late.
    private static let longestKey = 1024
    private static let mostKept = 1 << 20

    private let rules: Rules
    private var state = State.keyOrEnd
    private var role = Role.other
    private var value = JSONValueScanner()
    private var token: [UInt8] = []
    private var isEscaped = false
    private var isStreaming = false
    private var early: [UInt8]?
    private var hasArguments = false
    /// Whether the call was begun in the output.
    private(set) var hasBegun = false

    init(_ rules: Rules) { self.rules = rules }

    /// Takes the next byte; the first one is that behind the opening brace.
    mutating func feed(_ byte: UInt8, _ output: inout ToolCallOutput) -> Progress {
        switch state {
        case .keyOrEnd:
            if isJSONSpace(byte) { return .inside }
            guard byte == UInt8(ascii: "\"") else {
                return byte == UInt8(ascii: "}") ? end(&output) : .failed
            }
            token = [byte]
            state = .key
            return .inside
        case .key: return key(byte)
        case .colon:
            if isJSONSpace(byte) { return .inside }
            guard byte == UInt8(ascii: ":") else { return .failed }
            state = .valueStart
            return .inside
        case .valueStart:
            if isJSONSpace(byte) { return .inside }
            beginValue(byte)
            return feedValue(byte, &output)
        case .value: return feedValue(byte, &output)
        case .afterValue:
            if isJSONSpace(byte) { return .inside }
            if byte == UInt8(ascii: ",") {
                state = .keyOrEnd
                return .inside
            }
            return byte == UInt8(ascii: "}") ? end(&output) : .failed
        }
    }

    private mutating func key(_ byte: UInt8) -> Progress {
        guard token.count < Self.longestKey else { return .failed }
        token.append(byte)
        if isEscaped {
            isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
            isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
            return keyEnded()
        }
        return .inside
    }

    private mutating func keyEnded() -> Progress {
        switch Self.text(token) {
        case "name": role = .name
        case "arguments", "parameters": role = .arguments
        case "type", "id", "index": role = .other
        case nil: return .failed
        default:
            if rules.refusesOtherKeys && !hasBegun { return .failed }
            role = .other
        }
        // Of a key written twice the first value counts: it may be on its way already.
        if role == .name && hasBegun || role == .arguments && hasArguments { role = .other }
        state = .colon
        return .inside
    }

    // MARK: Values

    private mutating func beginValue(_ first: UInt8) {
        value = JSONValueScanner()
        token = []
        state = .value
        isStreaming = role == .arguments && hasBegun && first == UInt8(ascii: "{")
        if role == .arguments { hasArguments = true }
    }

    private mutating func feedValue(
        _ byte: UInt8, _ output: inout ToolCallOutput
    ) -> Progress {
        let progress = value.feed(byte)
        switch progress {
        case .failed: return .failed
        case .inside, .last:
            if isStreaming {
                output.add(argument: byte)
            } else if role != .other {
                guard token.count < Self.mostKept else { return .failed }
                token.append(byte)
            }
            if case .inside = progress { return .inside }
            return valueEnded(&output) ? .inside : .failed
        case .behind:
            guard valueEnded(&output) else { return .failed }
            return feed(byte, &output)
        }
    }

    /// - Returns: whether the object can still be a call.
    private mutating func valueEnded(_ output: inout ToolCallOutput) -> Bool {
        state = .afterValue
        switch role {
        case .other: break
        case .name:
            guard token.count <= Self.longestKey, let name = Self.text(token), !name.isEmpty,
                rules.names?.contains(name) ?? true
            else { return false }
            output.begin(call: name)
            hasBegun = true
            if let early { output.add(arguments: early) }
            early = nil
        case .arguments where isStreaming: break
        case .arguments:
            let arguments = Self.arguments(token)
            if hasBegun { output.add(arguments: arguments) } else { early = arguments }
        }
        token = []
        return true
    }

    private mutating func end(_ output: inout ToolCallOutput) -> Progress {
        guard hasBegun else { return .failed }
        if !hasArguments { output.add(arguments: "{}".utf8) }
        return .ended
    }

    /// The text of a JSON string given with its quotes.
    private static func text(_ token: [UInt8]) -> String? {
        guard let node = try? JSONParser.parse(token), case .string(let text) = node.value else {
            return nil
        }
        return text
    }

    /// Arguments as an object: some models write them as a text that holds one, or null for none.
    private static func arguments(_ token: [UInt8]) -> [UInt8] {
        if token.first == UInt8(ascii: "\""), let text = text(token) { return Array(text.utf8) }
        if token == Array("null".utf8) { return Array("{}".utf8) }
        return token
    }
}
