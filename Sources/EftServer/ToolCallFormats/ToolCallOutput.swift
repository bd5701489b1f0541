// SPDX-License-Identifier: Apache-2.0
// Gathers what a reader of tool calls finds between two pieces of text.
import EftGeneration

/// Events that are being gathered.
///
/// White space that stands alone before, between or behind calls belongs to their layout and is left out.
struct ToolCallOutput: Sendable {
    /// Longer white space is text.
    private static let longestGap = 256

    /// Number of calls begun.
    private(set) var callCount = 0
    private let makeID: @Sendable () -> String
    private var events: [ToolCallEvent] = []
    private var content: [UInt8] = []
    private var arguments: [UInt8] = []
    private var gap: [UInt8] = []
    private var isInGap = true

    init(makeID: @escaping @Sendable () -> String) { self.makeID = makeID }

    /// Adds text for the user.
    mutating func add(content bytes: some Sequence<UInt8>) {
        for byte in bytes {
            if isInGap {
                if isJSONSpace(byte), gap.count < Self.longestGap {
                    gap.append(byte)
                    continue
                }
                leaveGap()
            }
            content.append(byte)
        }
    }

    private mutating func leaveGap() {
        flushArguments()
        content += gap
        gap = []
        isInGap = false
    }

    /// Begins a call.
    mutating func begin(call name: String) {
        flushArguments()
        flushContent()
        gap = []
        isInGap = true
        events.append(.call(index: callCount, id: makeID(), name: name))
        callCount += 1
    }

    /// Adds to the arguments of the call that was last begun.
    mutating func add(arguments bytes: some Sequence<UInt8>) { arguments += bytes }

    /// Adds to the arguments of the call that was last begun.
    mutating func add(argument byte: UInt8) { arguments.append(byte) }

    /// What was gathered since the last time.
    mutating func take() -> [ToolCallEvent] {
        flushArguments()
        flushContent()
        let result = events
        events = []
        return result
    }

    /// What is left when the text has ended.
    mutating func finish() -> [ToolCallEvent] {
        if callCount == 0, isInGap { leaveGap() }
        return take()
    }

    private mutating func flushContent() {
        guard !content.isEmpty else { return }
        events.append(.content(String(decoding: content, as: UTF8.self)))
        content.removeAll(keepingCapacity: true)
    }

    private mutating func flushArguments() {
        guard !arguments.isEmpty else { return }
        let text = String(decoding: arguments, as: UTF8.self)
        events.append(.arguments(index: callCount - 1, text))
        arguments.removeAll(keepingCapacity: true)
    }
}
