// SPDX-License-Identifier: Apache-2.0
// Reads calls that are written as JSON objects one behind the other.
import EftGeneration

/// Follows the part of a text that holds calls.
struct CallListScanner: Sendable {
    /// How the part ends.
    enum Ending: Sendable {
        /// With a mark.
        case mark(String)
        /// With the bracket that closes the list.
        case bracket
        /// With the text.
        case never
    }

    /// How the part stands.
    enum Progress: Sendable {
        case inside
        /// This byte was its last.
        case ended
        /// It holds no call; `raw` is text.
        case failed
    }

    /// Most bytes kept before the first call of the part is known to be one.
    private static let mostKept = 2 << 20

    /// What was read as long as no call has begun, the mark before it included.
    private(set) var raw: [UInt8]
    private let ending: Ending
    private let rules: CallObjectScanner.Rules
    private var endMark: MarkScanner
    private var object: CallObjectScanner?
    private var hasCall = false
    /// Whether the rest is passed over, because it is no JSON.
    private var isSkipping = false

    /// - Parameter mark: what was read already.
    init(after mark: [UInt8], ending: Ending, rules: CallObjectScanner.Rules) {
        raw = mark
        self.ending = ending
        self.rules = rules
        if case .mark(let text) = ending {
            endMark = MarkScanner([text])
        } else {
            endMark = MarkScanner([])
        }
    }

    /// Takes the next byte.
    mutating func feed(_ byte: UInt8, _ output: inout ToolCallOutput) -> Progress {
        if !hasCall {
            guard raw.count < Self.mostKept else { return .failed }
            raw.append(byte)
        }
        guard var scanner = object else { return between(byte) }
        let progress = scanner.feed(byte, &output)
        object = scanner
        if scanner.hasBegun, !hasCall {
            hasCall = true
            raw = []
        }
        switch progress {
        case .inside: return .inside
        case .ended:
            object = nil
            return .inside
        case .failed:
            object = nil
            guard hasCall else { return .failed }
            isSkipping = true
            return between(byte)
        }
    }

    private mutating func between(_ byte: UInt8) -> Progress {
        let wasPending = endMark.isPending
        if case .mark = ending {
            if case .mark = endMark.feed(byte) { return hasCall ? .ended : .failed }
            if endMark.isPending { return .inside }
        }
        if isSkipping { return .inside }
        switch byte {
        case UInt8(ascii: "{") where !wasPending:
            object = CallObjectScanner(rules)
            return .inside
        case UInt8(ascii: "["), UInt8(ascii: ","), UInt8(ascii: ";"): return .inside
        case UInt8(ascii: "]"):
            if case .bracket = ending { return hasCall ? .ended : .failed }
            return .inside
        default:
            if isJSONSpace(byte), !wasPending { return .inside }
            guard hasCall else { return .failed }
            isSkipping = true
            return .inside
        }
    }
}
