// SPDX-License-Identifier: Apache-2.0
// The rules that all JSON is made of.

/// Rules of JSON (RFC 8259) that schemas share.
struct JSONPieces: Sendable {
    /// White space between the parts of a document.
    let space: GrammarNode
    /// A character of a string, written in any way.
    let character: RuleID
    /// A string with its quotes.
    let string: RuleID
    let number: RuleID
    let integer: RuleID
    /// An object with any members.
    let object: RuleID
    /// An array of any values.
    let array: RuleID
    /// Any value.
    let value: RuleID

    private static let jsonSpace = ScalarSet(of: " \t\n\r")
    /// A model that writes white space without end would never finish.
    private static let longestSpace = 64

    /// Adds the rules.
    /// - Throws: `ConstraintError`.
    init(
        _ builder: inout AutomatonBuilder, options: ConstraintOptions
    ) throws(ConstraintError) {
        let space = try Self.space(&builder, options)
        self.space = space
        let character = try builder.addRule(Self.characters)
        self.character = character
        let rest = try builder.addRule(.sequence([Self.characters.star, .text("\"")]))
        string = try builder.addRule(.sequence([.text("\""), .rule(rest)]))
        let sign = GrammarNode.text("-").optional
        let whole = GrammarNode.choice([
            .text("0"),
            .sequence([
                .set(ScalarSet(["1"..."9"])),
                .repeated(.digit, minimum: 0, maximum: Self.wholeDigits - 1),
            ]),
        ])
        integer = try builder.addRule(.sequence([sign, whole]))
        number = try builder.addRule(
            .sequence([sign, whole, Self.fraction.optional, Self.exponent.optional]))
        let (value, object, array) = (
            try builder.addRule(), try builder.addRule(), try builder.addRule()
        )
        self.value = value
        self.object = object
        self.array = array
        let comma = GrammarNode.sequence([.text(","), space])
        let member = try builder.addRule(
            .sequence([.rule(string), space, .text(":"), space, .rule(value)]))
        func filled(_ open: String, _ part: RuleID, _ close: String) -> GrammarNode {
            .sequence([
                .text(open), space,
                .list(
                    .sequence([.rule(part), space]), separator: comma, minimum: 0, maximum: nil),
                .text(close),
            ])
        }
        try builder.fill(object, with: filled("{", member, "}"))
        try builder.fill(array, with: filled("[", value, "]"))
        try builder.fill(
            value,
            with: .choice([
                .text("null"), .text("true"), .text("false"), .rule(number), .rule(string),
                .rule(object), .rule(array),
            ]))
    }

    /// The most digits of a number before its point, unless a bound has more. A model that writes digits without end would
    /// never finish, and its number would be none that a program can hold.
    static let wholeDigits = 20
    /// The most digits behind the point.
    static let fractionDigits = 24

    /// A point and digits.
    static let fraction = GrammarNode.sequence([
        .text("."), .repeated(.digit, minimum: 1, maximum: fractionDigits),
    ])

    /// An exponent that no number becomes infinite with.
    private static let exponent: GrammarNode = .sequence([
        .set(ScalarSet(of: "eE")), GrammarNode.set(ScalarSet(of: "+-")).optional,
        .choice([
            .repeated(.digit, minimum: 1, maximum: 2),
            .sequence([.text("1"), .digit, .digit]),
            .sequence([.text("2"), .set(ScalarSet(["0"..."7"])), .digit]),
        ]),
    ])

    private static func space(
        _ builder: inout AutomatonBuilder, _ options: ConstraintOptions
    ) throws(ConstraintError) -> GrammarNode {
        if options.disablesWhitespace { return .empty }
        guard let pattern = options.whitespacePattern else {
            return .rule(
                try builder.addRule(
                    .repeated(.set(jsonSpace), minimum: 0, maximum: longestSpace)))
        }
        let node = try PatternParser.parse(pattern, isSearch: false, limits: builder.limits)
        let wanted = try CharacterAutomaton(
            node, maximumStates: builder.limits.states, budget: &builder.budget)
        let possible = try CharacterAutomaton(
            GrammarNode.set(jsonSpace).star, maximumStates: 8, budget: &builder.budget)
        let both = try wanted.intersection(
            possible, maximumStates: builder.limits.states, budget: &builder.budget)
        return .rule(try builder.addRule(.characters(both)))
    }

    /// One character of a string.
    private static let characters: GrammarNode = {
        func hexadecimal(_ digits: String...) -> GrammarNode {
            .sequence(digits.map { .set(ScalarSet(of: $0)) })
        }
        let (all, lower) = ("0123456789abcdefABCDEF", "01234567")
        let escapes = GrammarNode.choice([
            .set(ScalarSet(of: "\"\\/bfnrt")),
            .sequence([
                .text("u"),
                .choice([
                    hexadecimal("0123456789abcefABCEF", all, all, all),
                    hexadecimal("dD", lower, all, all),
                    // Halves of a pair come together.
                    .sequence([
                        hexadecimal("dD", "89abAB", all, all), .text("\\u"),
                        hexadecimal("dD", "cdefCDEF", all, all),
                    ]),
                ]),
            ]),
        ])
        return .choice([
            .set(JSONText.escaped.inverted), .sequence([.text("\\"), escapes]),
        ])
    }()
}
