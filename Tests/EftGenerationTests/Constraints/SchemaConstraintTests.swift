// SPDX-License-Identifier: Apache-2.0
// JSON schemas: what they take, refuse, and lead to.

import EftConfig
import EftFormats
import EftGeneration
import EftTensor
import EftTestSupport
import Testing

struct SchemaConstraintTests {
    private static func cases() throws -> [ConfigCursor] {
        try ConfigCursor(
            JSONParser.parse(FileSystem.read(Fixtures.path("constraints/schemas.json")))
        ).elements()
    }

    private func error(
        _ schema: ConfigNode, limits: ConstraintLimits = ConstraintLimits()
    ) -> ConstraintError? {
        do {
            _ = try CompiledConstraint(
                .jsonSchema(schema), vocabulary: Vocabularies.byteLevel, limits: limits)
            return nil
        } catch { return error }
    }

    @Test func `Documents are taken that jsonschema accepts, and faulty ones are not`() throws {
        var random = SplitMix64(seed: 1)
        for item in try Self.cases() {
            let schema = try item.required("schema").node
            for vocabulary in Vocabularies.all {
                let constraint = try CompiledConstraint(
                    .jsonSchema(schema), vocabulary: vocabulary)
                for text in try item.required("valid").elements() {
                    let text = try text.string()
                    #expect(
                        try constraint.takes(Array(text.utf8), &random),
                        "\(JSONWriter.text(schema)) \(text)")
                }
                for text in try item.required("invalid").elements() {
                    let text = try text.string()
                    #expect(
                        try !constraint.takes(Array(text.utf8), &random),
                        "\(JSONWriter.text(schema)) \(text)")
                }
            }
        }
    }

    @Test func `Random documents are JSON that the schema accepts`() throws {
        var random = SplitMix64(seed: 2)
        var complete = 0
        for item in try Self.cases() {
            let schema = try item.required("schema").node
            let judge = SchemaJudge(root: schema)
            for vocabulary in Vocabularies.all + [Vocabularies.characters] {
                let constraint: CompiledConstraint
                do {
                    constraint = try CompiledConstraint(
                        .jsonSchema(schema), vocabulary: vocabulary)
                } catch {
                    // Some characters are missing there.
                    #expect(vocabulary === Vocabularies.characters && error.code == .impossible)
                    continue
                }
                for _ in 0..<8 {
                    guard let bytes = try constraint.randomText(&random) else { continue }
                    let text = String(decoding: bytes, as: UTF8.self)
                    complete += 1
                    do {
                        let value = try JSONParser.parse(bytes)
                        #expect(try judge.accepts(value), "\(JSONWriter.text(schema)) \(text)")
                    } catch let error as ConfigError where error.code == .duplicateKey {
                        continue
                    }
                }
            }
        }
        #expect(complete > 500)
    }

    @Test func `Masks are what trying each token gives`() throws {
        var random = SplitMix64(seed: 3)
        for item in try Self.cases() {
            for vocabulary in [Vocabularies.byteLevel, Vocabularies.sentencePiece] {
                let constraint = try CompiledConstraint(
                    .jsonSchema(item.required("schema").node), vocabulary: vocabulary)
                try constraint.checkMasks(&random, steps: 12)
            }
        }
    }

    @Test func `Masks of bounded strings are exact to the last character`() throws {
        var random = SplitMix64(seed: 14)
        let strings: ConfigNode = ["type": "string", "minLength": 2, "maxLength": 20]
        for vocabulary in Vocabularies.all {
            let constraint = try CompiledConstraint(
                .jsonSchema(["type": "array", "items": strings]), vocabulary: vocabulary)
            try constraint.checkMasks(&random, steps: 80)
            var state = try constraint.begin()
            #expect(try state.advance("[\"\", \"".utf8) == false)
            #expect(try state.advance("[\"ab\", \"".utf8))
            for count in 0...20 {
                let ids = try constraint.allowed(&state)
                for id in 0..<Int32(vocabulary.size) {
                    var copy = state
                    #expect(try copy.advance(id) == ids.contains(id))
                }
                let isTaken = try state.advance((count % 2 == 0 ? "a" : "\\n").utf8)
                #expect(isTaken == (count < 20))
            }
        }
    }

    @Test func `White space is as the options say`() throws {
        var random = SplitMix64(seed: 4)
        func takes(_ text: String, _ options: ConstraintOptions) throws -> Bool {
            let schema: ConfigNode = [
                "type": "object", "properties": ["a": ["type": "array"], "b": ["const": [1, 2]]],
            ]
            return try CompiledConstraint(
                .jsonSchema(schema), vocabulary: Vocabularies.byteLevel, options: options
            ).takes(Array(text.utf8), &random)
        }
        var options = ConstraintOptions()
        #expect(try takes("{ \"a\" :\n [\t] ,\r\"b\":[1,2] }", options))
        #expect(try !takes(" {}", options))
        #expect(try !takes("{\(String(repeating: " ", count: 65))}", options))
        options.whitespacePattern = "[ x]?"
        #expect(try takes("{ \"a\": [ ] , \"b\":[1 ,2]}", options))
        #expect(try !takes("{  }", options))
        #expect(try !takes("{x}", options))
        options.disablesWhitespace = true
        #expect(try takes("{\"a\":[],\"b\":[1,2]}", options))
        #expect(try !takes("{\"a\": []}", options))
        options.whitespacePattern = "("
        options.disablesWhitespace = false
        #expect(throws: ConstraintError.self) { try takes("{}", options) }
    }

    @Test func `Any object is JSON, and additional properties can be taken away`() throws {
        var random = SplitMix64(seed: 5)
        var options = ConstraintOptions()
        options.disablesAdditionalProperties = true
        let any = try CompiledConstraint(
            .jsonObject, vocabulary: Vocabularies.byteLevel, options: options)
        #expect(try any.takes(Array("{\"a\": [1, {\"b\": \"\\u00e9\"}]}".utf8), &random))
        #expect(try !any.takes(Array("[]".utf8), &random))
        let open: ConfigNode = ["properties": ["a": true], "additionalProperties": true]
        let closed = try CompiledConstraint(
            .jsonSchema(open), vocabulary: Vocabularies.byteLevel, options: options)
        #expect(try closed.takes(Array("{\"a\":1}".utf8), &random))
        #expect(try !closed.takes(Array("{\"b\":1}".utf8), &random))
    }

    @Test func `Nesting ends where it must, and what was begun can always be finished`() throws {
        var limits = ConstraintLimits()
        limits.depth = 12
        let tree: ConfigNode = [
            "$ref": "#/$defs/t",
            "$defs": [
                "t": [
                    "type": "object", "required": ["v", "l"],
                    "properties": [
                        "v": ["type": "integer"],
                        "l": ["anyOf": [["$ref": "#/$defs/t"], ["const": 0]]],
                    ],
                ]
            ],
        ]
        let vocabulary = Vocabularies.byteLevel
        var random = SplitMix64(seed: 8)
        let constraint = try CompiledConstraint(
            .jsonSchema(tree), vocabulary: vocabulary, limits: limits)
        var state = try constraint.begin()
        var depth = 0
        while try state.advance("{\"v\":1,\"l\":".utf8) {
            depth += 1
            #expect(try !constraint.allowed(&state).isEmpty)
        }
        #expect((5...12).contains(depth))
        try constraint.checkMasks(&random, steps: 5)
        #expect(try state.advance("0".utf8))
        #expect(try state.advance(String(repeating: "}", count: depth).utf8))
        #expect(state.isComplete)
        let any = try CompiledConstraint(
            .jsonSchema(true), vocabulary: vocabulary, limits: limits)
        var deep = try any.begin()
        for _ in 0..<30 {
            let ids = try any.allowed(&deep)
            for id in ids {
                var copy = deep
                #expect(try copy.advance(id))
            }
            if try !deep.advance("[".utf8) { break }
        }
        #expect(try !deep.advance("[".utf8))
        #expect(try deep.advance("1".utf8))
    }

    @Test(
        arguments: [
            (["type": "string", "foo": 1], "#/foo"), (["multipleOf": 2], "#/multipleOf"),
            (["not": ["type": "string"]], "#/not"), (["if": true], "#/if"),
            (["type": "array", "uniqueItems": true], "#/uniqueItems"),
            (["type": "array", "contains": true], "#/contains"),
            (
                ["properties": ["a": ["items": ["format": "idn-email"]]]],
                "#/properties/a/items/format"
            ),
            (["anyOf": [["type": "string"], ["pattern": "(?=a)"]]], "#/anyOf/1/pattern"),
            (["propertyNames": ["maxLength": 3]], "#/propertyNames"),
            (["dependentRequired": [:]], "#/dependentRequired"),
            (["$ref": "https://example.org/s"], "#/$ref"), (["$dynamicRef": "#a"], "#/$dynamicRef"),
            (["minProperties": 3], "#"),
            (["unevaluatedProperties": true], "#/unevaluatedProperties"),
            (["patternProperties": ["a": ["type": "string"], "b": true]], "#/patternProperties"),
        ] as [(ConfigNode, String)])
    func `What cannot be enforced is refused with its place`(schema: ConfigNode, path: String) {
        let error = error(schema)
        #expect(error?.code == .unsupported)
        #expect(error?.path == path)
    }

    @Test(
        arguments: [
            [:], 1, "x", ["type": "text"], ["type": []], ["type": 1], ["enum": []], ["enum": 1],
            ["properties": []], ["required": "a"], ["required": [1]], ["anyOf": []],
            ["minLength": -1],
            ["maxItems": 1.5], ["minimum": "1"], ["pattern": "("], ["$ref": "#/$defs/none"],
            ["$ref": "#x"], ["$ref": "#"], ["items": 3], ["properties": ["a": 3]], ["$ref": 1],
            ["$ref": "#/a", "a": ["$ref": "#/b"], "b": ["$ref": "#/a"]],
        ] as [ConfigNode])
    func `Malformed schemas are refused`(schema: ConfigNode) {
        let code = error(schema)?.code
        #expect(code == .malformed || code == .unsupported)
    }

    @Test(
        arguments: [
            false, ["type": "string", "minLength": 3, "maxLength": 2],
            ["const": 1, "type": "string"],
            ["type": "integer", "minimum": 2, "maximum": 1], ["enum": [1, 2], "minimum": 3],
            ["type": "object", "required": ["a"], "additionalProperties": false],
            ["type": "array", "minItems": 1, "items": false],
            ["allOf": [["type": "string"], ["type": "integer"]]],
            [
                "$ref": "#/$defs/a",
                "$defs": ["a": ["items": ["$ref": "#/$defs/a"], "minItems": 1]],
            ],
            ["type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2],
            ["type": "string", "pattern": "^a$", "minLength": 2],
        ] as [ConfigNode])
    func `Schemas that admit nothing are refused`(schema: ConfigNode) {
        #expect(error(schema)?.code == .impossible)
    }

    @Test func `Huge and hostile schemas work or are refused`() throws {
        var deep: ConfigNode = ["type": "string"]
        for _ in 0..<40 { deep = ["anyOf": [deep, ["type": "array", "items": deep]]] }
        #expect(error(deep)?.code == .tooComplex)
        var allOf: ConfigNode = ["type": "object"]
        for _ in 0..<30 { allOf = ["allOf": [allOf, ["anyOf": [["minProperties": 1], true]]]] }
        #expect(error(allOf) != nil)
        let many = ConfigNode((0..<20_000).map { "value \($0)" })
        #expect(error(["enum": many]) == nil)
        var properties = ConfigObject()
        for index in 0..<1500 { properties["property \(index)"] = ["type": "integer"] }
        #expect(error(["properties": ConfigNode(properties)]) == nil)
        #expect(error(["type": "array", "maxItems": 1_000_000_000])?.code == .tooComplex)
        #expect(error(["type": "string", "maxLength": 9_000_000])?.code == .tooComplex)
        #expect(error(["type": "string", "maxLength": 3000]) == nil)
        #expect(error(["minimum": 1e300])?.code == .tooComplex)
        let cycle: ConfigNode = ["allOf": [["$ref": "#"], ["type": "null"]]]
        #expect(error(cycle) == nil)
        #expect(error(["anyOf": [["$ref": "#"], ["type": "null"]]])?.code == .unsupported)
    }

    @Test func `Altered schemas are taken or refused, never fatal`() throws {
        var random = SplitMix64(seed: 99)
        var limits = ConstraintLimits()
        limits.compileSteps = 300_000
        let seeds = try Self.cases().map { try $0.required("schema").node }
        for _ in 0..<1500 {
            let schema = random.mutated(try #require(seeds.randomElement(using: &random)))
            do {
                let constraint = try CompiledConstraint(
                    .jsonSchema(schema), vocabulary: Vocabularies.byteLevel, limits: limits)
                guard let text = try constraint.randomText(&random, limit: 40) else { continue }
                _ = try? JSONParser.parse(text)
            } catch is ConstraintError {}
        }
    }
}
