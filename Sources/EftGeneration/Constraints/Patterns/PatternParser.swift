// SPDX-License-Identifier: Apache-2.0
// Regular expressions of which every match can be found without going back.

/// Reads a regular expression in the syntax that ECMAScript, Python and PCRE share.
///
/// Groups only group, and lazy repetitions are plain ones, as neither changes which texts match as a whole. Anchors are
/// understood at the ends; lookaround, back references and word borders are refused.
struct PatternParser {
    private let source: [Unicode.Scalar]
    private var position = 0
    private var depth = 0
    private let limits: ConstraintLimits

    /// An expression with what is known of its ends.
    fileprivate indirect enum Part {
        case node(GrammarNode)
        case sequence([Part])
        case choice([Part])
        case start
        case end
    }

    /// Reads an expression.
    /// - Parameter isSearch: whether a match anywhere in the text suffices, as in JSON Schema.
    /// - Throws: `ConstraintError` (`malformed`, `unsupported`, `tooComplex`).
    static func parse(
        _ pattern: String, isSearch: Bool, limits: ConstraintLimits
    ) throws(ConstraintError) -> GrammarNode {
        guard pattern.utf8.count <= limits.sourceBytes else {
            throw ConstraintError(
                .tooComplex,
                "the regular expression is larger than \(limits.sourceBytes) bytes")
        }
        var parser = PatternParser(pattern, limits: limits)
        let part = try parser.alternatives()
        guard parser.peek == nil else { throw parser.fault("unmatched ')'") }
        return try parser.resolve(part, startsText: true, endsText: true, isSearch: isSearch)
    }

    private init(_ pattern: String, limits: ConstraintLimits) {
        source = Array(pattern.unicodeScalars)
        self.limits = limits
    }

    // MARK: Anchors

    /// Takes anchors away and puts any text where there is none.
    private func resolve(
        _ part: Part, startsText: Bool, endsText: Bool, isSearch: Bool
    ) throws(ConstraintError) -> GrammarNode {
        let any = GrammarNode.set(.all).star
        func padded(_ node: GrammarNode, _ starts: Bool, _ ends: Bool) -> GrammarNode {
            guard isSearch, starts || ends else { return node }
            return .sequence((starts ? [any] : []) + [node] + (ends ? [any] : []))
        }
        switch part {
        case .node(let node): return padded(node, startsText, endsText)
        case .choice(let parts):
            var nodes: [GrammarNode] = []
            for part in parts {
                nodes.append(
                    try resolve(
                        part, startsText: startsText, endsText: endsText, isSearch: isSearch))
            }
            return .choice(nodes)
        case .sequence(let parts):
            var inner = parts[...]
            var (starts, ends) = (startsText, endsText)
            while starts || startsText, case .start? = inner.first {
                inner.removeFirst()
                starts = false
            }
            while ends || endsText, case .end? = inner.last {
                inner.removeLast()
                ends = false
            }
            var nodes: [GrammarNode] = []
            for (index, part) in zip(inner.indices, inner) {
                let isFirst = index == inner.startIndex && starts
                let isLast = index == inner.endIndex - 1 && ends
                nodes.append(
                    try resolve(part, startsText: isFirst, endsText: isLast, isSearch: isSearch))
            }
            return inner.isEmpty ? padded(.empty, starts, ends) : .sequence(nodes)
        case .start, .end:
            if part.isStart && startsText { return padded(.empty, false, endsText) }
            if !part.isStart && endsText { return padded(.empty, startsText, false) }
            throw ConstraintError(
                .unsupported,
                "'^' and '$' are supported at the two ends of a regular expression only")
        }
    }

    // MARK: Structure

    private mutating func alternatives() throws(ConstraintError) -> Part {
        guard depth <= limits.nesting else {
            throw ConstraintError(
                .tooComplex, "groups are nested deeper than \(limits.nesting)")
        }
        var parts = [try sequence()]
        while take("|") { parts.append(try sequence()) }
        return parts.count == 1 ? parts[0] : .choice(parts)
    }

    private mutating func sequence() throws(ConstraintError) -> Part {
        var parts: [Part] = []
        while let scalar = peek, scalar != "|", scalar != ")" {
            let start = position
            let part = try atom()
            guard let (minimum, maximum) = try repetition() else {
                parts.append(part)
                continue
            }
            guard case .node(let node) = try plain(part) else {
                position = start
                throw fault("'^' and '$' cannot be repeated")
            }
            parts.append(.node(.repeated(node, minimum: minimum, maximum: maximum)))
        }
        return parts.count == 1 ? parts[0] : .sequence(parts)
    }

    /// The part as a node when it holds no anchors.
    private func plain(_ part: Part) throws(ConstraintError) -> Part {
        .node(try resolve(part, startsText: false, endsText: false, isSearch: false))
    }

    private mutating func repetition() throws(ConstraintError) -> (Int, Int?)? {
        var bounds: (Int, Int?)?
        switch peek {
        case "*": bounds = (0, nil)
        case "+": bounds = (1, nil)
        case "?": bounds = (0, 1)
        case "{": bounds = try counts()
        default: return nil
        }
        guard let bounds else { return nil }
        position += 1
        if take("?") { return bounds }
        if peek == "+" { throw fault("possessive repetitions are not supported", .unsupported) }
        if let next = peek, "*?{".unicodeScalars.contains(next) {
            if next != "{" { throw fault("nothing to repeat") }
            let start = position
            if try counts() != nil { throw fault("nothing to repeat") }
            position = start
        }
        return bounds
    }

    /// The numbers in braces, with the position left on the closing one; nil when the brace is a character.
    private mutating func counts() throws(ConstraintError) -> (Int, Int?)? {
        let start = position
        position += 1
        let minimum = try number()
        var maximum = minimum
        if take(",") { maximum = try number() }
        guard peek == "}", minimum != nil || maximum != nil else {
            position = start
            return nil
        }
        let low = minimum ?? 0
        if let maximum, maximum < low { throw fault("a repetition's bounds are out of order") }
        let isOpen = maximum == nil
        guard max(low, maximum ?? 0) <= limits.states else {
            throw fault("a repetition's bound is too large", .tooComplex)
        }
        return (low, isOpen ? nil : maximum)
    }

    private mutating func number() throws(ConstraintError) -> Int? {
        var value: Int?
        while let digit = peek.flatMap({ Int(String($0)) }), (0...9).contains(digit) {
            value = min((value ?? 0) * 10 + digit, 1 << 40)
            position += 1
        }
        return value
    }

    private mutating func atom() throws(ConstraintError) -> Part {
        guard let scalar = peek else { throw fault("the expression ends too early") }
        switch scalar {
        case "(": return try group()
        case "[":
            var classes = PatternClassParser(source, position)
            let set = try classes.set()
            position = classes.position
            return .node(.set(set))
        case "\\":
            var classes = PatternClassParser(source, position)
            let set = try classes.escape(inClass: false)
            position = classes.position
            return .node(.set(set))
        case "*", "+", "?": throw fault("nothing to repeat")
        case "{":
            if try counts() != nil { throw fault("nothing to repeat") }
        default: break
        }
        position += 1
        switch scalar {
        case ".": return .node(.set(PatternClasses.dot))
        case "^": return .start
        case "$": return .end
        default: return .node(.set(ScalarSet(scalar)))
        }
    }

    private mutating func group() throws(ConstraintError) -> Part {
        position += 1
        if take("?") {
            let marks = source[position...].prefix(2).map { String($0) }.joined()
            if take(":") {
            } else if marks.hasPrefix("=") || marks.hasPrefix("!") || marks == "<="
                || marks == "<!"
            {
                throw fault("lookahead and lookbehind are not supported", .unsupported)
            } else if marks.hasPrefix("<") || marks == "P<" {
                // A name, which changes nothing.
                while let scalar = peek, scalar != ">" {
                    if scalar == ")" { throw fault("a group's name has no end") }
                    position += 1
                }
                guard take(">") else { throw fault("a group's name has no end") }
            } else {
                throw fault("this kind of group is not supported", .unsupported)
            }
        }
        depth += 1
        let part = try alternatives()
        depth -= 1
        guard take(")") else { throw fault("a group has no end") }
        return part
    }

    // MARK: Characters

    private var peek: Unicode.Scalar? { position < source.count ? source[position] : nil }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard peek == scalar else { return false }
        position += 1
        return true
    }

    private func fault(
        _ what: String, _ code: ConstraintError.Code = .malformed
    ) -> ConstraintError {
        ConstraintError(code, "at character \(position) of the regular expression: \(what)")
    }
}

extension PatternParser.Part {
    fileprivate var isStart: Bool {
        if case .start = self { return true }
        return false
    }
}
