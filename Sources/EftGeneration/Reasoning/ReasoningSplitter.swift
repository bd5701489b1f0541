// SPDX-License-Identifier: Apache-2.0
// Splits an answer into thoughts and what is said, while it comes.

/// A part of an answer.
package enum ReasoningPart: Sendable, Hashable {
    /// What the model thinks.
    case reasoning(String)
    /// What it says.
    case content(String)
}

/// Splits one answer. In whatever pieces it comes, the parts together are the same; apart from the marks, and white
/// space before the first one, nothing is lost.
package struct ReasoningSplitter: Sendable {
    private enum State: Sendable {
        /// Before anything but white space was read.
        case start
        case thoughts
        case content
    }

    private let format: ReasoningFormat
    private let startsInside: Bool
    private var state = State.start
    private var marks: MarkScanner
    /// White space at the very beginning.
    private var space: [UInt8] = []
    private var parts: [ReasoningPart] = []
    private var gathered: [UInt8] = []

    /// Longer white space is not looked behind.
    private static let longestSpace = 256

    /// - Parameter startsInside: whether the answer begins with thoughts; a first mark at its beginning is then passed
    ///   over.
    package init(_ format: ReasoningFormat, startsInside: Bool) {
        self.format = format
        self.startsInside = startsInside
        marks = MarkScanner(startsInside ? [format.start, format.end] : [format.start])
    }

    /// Whether the text so far ends inside thoughts.
    package var isInside: Bool {
        switch state {
        case .start: startsInside
        case .thoughts: true
        case .content: false
        }
    }

    /// Takes the next piece of text.
    package mutating func add(_ text: String) -> [ReasoningPart] {
        for byte in text.utf8 { feed(byte) }
        return take()
    }

    /// Ends the text.
    package mutating func finish() -> [ReasoningPart] {
        let rest = marks.finish()
        if case .start = state { leaveStart(with: []) }
        gathered += rest
        return take()
    }

    private mutating func feed(_ byte: UInt8) {
        switch state {
        case .start: start(byte)
        case .thoughts:
            switch marks.feed(byte) {
            case .text(let bytes): gathered += bytes
            case .mark(_, let bytes):
                gathered += bytes
                flush()
                state = .content
            }
        case .content: gathered.append(byte)
        }
    }

    private mutating func start(_ byte: UInt8) {
        switch marks.feed(byte) {
        case .text(let bytes):
            let isSpace = bytes.allSatisfy(isJSONSpace)
            if isSpace && space.count < Self.longestSpace {
                space += bytes
            } else {
                // What may be the beginning of a mark is looked at again in the state that follows.
                let pending = marks.finish()
                leaveStart(with: bytes)
                for byte in pending { feed(byte) }
            }
        case .mark(let number, let bytes):
            guard (space + bytes).allSatisfy(isJSONSpace) else {
                leaveStart(with: bytes)
                let mark = number == 0 ? format.start : format.end
                for byte in mark.utf8 { feed(byte) }
                return
            }
            if number == 0 {
                enterThoughts()
            } else {
                // Thoughts that are over at once.
                gathered += space + bytes
                state = .thoughts
                flush()
                state = .content
            }
        }
    }

    private mutating func enterThoughts() {
        state = .thoughts
        space = []
        marks = MarkScanner([format.end])
    }

    private mutating func leaveStart(with bytes: [UInt8]) {
        let text = space + bytes
        if startsInside { enterThoughts() } else { state = .content }
        space = []
        gathered += text
    }

    private mutating func flush() {
        guard !gathered.isEmpty else { return }
        let text = String(decoding: gathered, as: UTF8.self)
        parts.append(isInside ? .reasoning(text) : .content(text))
        gathered.removeAll(keepingCapacity: true)
    }

    private mutating func take() -> [ReasoningPart] {
        flush()
        let result = parts
        parts = []
        return result
    }
}
