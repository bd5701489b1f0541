// SPDX-License-Identifier: Apache-2.0
// Texts that a forced call may be, read back: each is a call of one of the tools.
import EftConfig
import EftGeneration
import EftServer
import EftTensor
import Testing

struct ConstraintRoundTripTests {
    /// A token for each byte, and one that ends the text.
    private static func vocabulary() throws -> ConstraintVocabulary {
        try ConstraintVocabulary(texts: (0..<256).map { [UInt8($0)] } + [nil], endIDs: [256])
    }

    /// A random text of a constraint; nil when it does not end soon.
    private static func text(
        _ constraint: CompiledConstraint, _ random: inout SplitMix64
    ) throws -> String? {
        // Few letters, and many that end something, so that texts stay short.
        let liked = Set("\"}],0123456789tfn<\n".utf8)
        var bytes: [UInt8] = []
        var state = try constraint.begin()
        var mask = [UInt32](repeating: 0, count: constraint.vocabulary.maskWords)
        while bytes.count < 3000 {
            try state.allowed(into: &mask)
            let allowed = (0..<257).filter { mask[$0 >> 5] >> UInt32($0 & 31) & 1 == 1 }
            if allowed.contains(256) { return String(validating: bytes, as: UTF8.self) }
            let short = allowed.filter { $0 < 256 && liked.contains(UInt8($0)) }
            let pool = short.isEmpty || Int.random(in: 0..<4, using: &random) == 0 ? allowed : short
            guard let next = pool.randomElement(using: &random),
                try state.advance(Int32(next))
            else { return nil }
            bytes.append(UInt8(next))
        }
        return nil
    }

    @Test(arguments: ToolCallFormatRegistry.all.map { $0.name })
    func `what a forced call may be is read as a call`(name: String) throws {
        let format = try #require(ToolCallFormatRegistry.format(named: name))
        let schema: ConfigNode = [
            "type": "object",
            "properties": [
                "city": ["type": "string"], "days": ["type": "integer"],
                "exact": ["type": "boolean"], "unit": ["type": "string", "enum": ["c", "f"]],
            ], "required": ["city", "exact"], "additionalProperties": false,
        ]
        let tools = [
            ToolDefinition(name: "get_weather", parameters: schema), ToolDefinition(name: "now"),
        ]
        var options = ConstraintOptions()
        options.disablesWhitespace = true
        var random = SplitMix64(seed: 75)
        for allowsSeveral in [false, true] {
            let constraint = try CompiledConstraint(
                format.constraint(tools: tools, allowsSeveral: allowsSeveral),
                vocabulary: Self.vocabulary(), options: options)
            var read = 0
            for _ in 0..<60 {
                guard let text = try Self.text(constraint, &random) else { continue }
                let answer = format.answer(in: text, tools: tools, makeID: { "x" })
                #expect(answer.content == "", "\(text.debugDescription)")
                #expect(!answer.calls.isEmpty && (allowsSeveral || answer.calls.count == 1))
                for call in answer.calls {
                    let arguments = try JSONParser.parse(call.arguments)
                    guard case .object(let object) = arguments.value else {
                        Issue.record("\(call.arguments)")
                        continue
                    }
                    switch call.name {
                    case "now": #expect(object.isEmpty)
                    case "get_weather":
                        #expect(
                            object["city"].map {
                                if case .string = $0.value { true } else { false }
                            } == true)
                        #expect(object["exact"] == true || object["exact"] == false, "\(text)")
                        if let unit = object["unit"] { #expect(["c", "f"].contains(unit)) }
                    default: Issue.record("\(text)")
                    }
                }
                read += 1
            }
            #expect(read > 20)
        }
    }
}
