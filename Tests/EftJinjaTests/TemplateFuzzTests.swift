// SPDX-License-Identifier: Apache-2.0
// Random templates and values: an answer or a typed error, never a crash.
import EftConfig
import EftJinja
import EftTensor
import EftTestSupport
import Testing

struct TemplateFuzzTests {
    private static let words = [
        "{{", "}}", "{%", "%}", "{#", "#}", "{%-", "-%}", "{{-", "-}}", "{%+", "+%}", "if", "else",
        "elif", "endif",
        "for", "in", "endfor", "set", "endset", "macro", "endmacro", "call", "endcall", "filter",
        "endfilter", "with",
        "endwith", "raw", "endraw", "generation", "endgeneration", "break", "continue", "recursive",
        "loop", "not", "and",
        "or", "is", "x", "y", "s", "xs", "d", "none", "true", "1", "0", "-1", "2.5",
        "9223372036854775807", "1e308", "'a'",
        "\"b\"", "''", "'é😀'", "+", "-", "*", "/", "//", "%", "**", "~", "(", ")", "[", "]", "{",
        "}", "==", "!=", "<",
        ">=", "=", ".", ":", "|", ",", "\n", " ", "'%5.3f %s'", "'{:>9} {}'", "range", "namespace",
        "dict", "cycler",
    ]
    private static let filters = [
        "abs", "batch", "capitalize", "center", "default", "dictsort", "escape", "first", "float",
        "format", "groupby",
        "indent", "int", "items", "join", "last", "length", "list", "lower", "map", "max", "min",
        "reject", "rejectattr",
        "replace", "reverse", "round", "select", "selectattr", "slice", "sort", "string", "sum",
        "title", "tojson", "trim",
        "truncate", "unique", "upper", "urlencode", "wordcount", "attr",
    ]
    private static let methods = [
        "upper", "strip", "split", "rsplit", "splitlines", "partition", "replace", "find", "rfind",
        "index", "count",
        "center", "zfill", "ljust", "expandtabs", "format", "join", "startswith", "endswith",
        "title", "get", "items",
        "keys", "values", "isalpha", "istitle", "removeprefix", "swapcase",
    ]
    private static let atoms = [
        "x", "y", "s", "xs", "d", "none", "true", "-1", "0", "3", "2.5", "'a'", "''", "'é😀 b'",
        "[1, 'b', none]", "(1, 2)",
        "{'k': [1]}", "9223372036854775807", "(-9223372036854775807 - 1)", "1e300", "'%s %d'",
        "'{} {0[0]:>5}'", "missing",
        "range(3)", "namespace(a=1)", "loop", "dict", "'upper'", "'odd'", "'a.b'",
    ]

    private static func limits() -> TemplateLimits {
        var limits = TemplateLimits()
        limits.steps = 100_000
        limits.valueBytes = 1 << 18
        limits.producedBytes = 1 << 22
        limits.outputBytes = 1 << 18
        return limits
    }

    /// Whether a template gave a text.
    private func isRendered(_ source: String, _ context: TemplateDictionary) -> Bool {
        do {
            _ = try Template(source).render(context, limits: Self.limits())
            return true
        } catch {
            return false
        }
    }

    private func context(_ random: inout SplitMix64) throws -> TemplateDictionary {
        let document: ConfigNode = [
            "x": 7, "y": -2.5, "s": "Hello, Wörld\n 2", "xs": [3, "a", [1, .null], ["k": 1]],
            "d": ["b": 1, "a": ["c": "d"], "items": []],
        ]
        guard case .dictionary(let context) = try TemplateValue(random.mutated(document)) else {
            return TemplateDictionary()
        }
        return context
    }

    @Test func `no sequence of words makes it crash`() throws {
        var random = SplitMix64(seed: 51)
        var rendered = 0
        for _ in 0..<20_000 {
            let count = Int.random(in: 1...14, using: &random)
            let source = (0..<count).map { _ in
                Self.words.randomElement(using: &random) ?? ""
            }.joined(separator: Bool.random(using: &random) ? " " : "")
            if isRendered(source, try context(&random)) { rendered += 1 }
        }
        #expect(rendered > 500)
    }

    /// An expression of a given depth.
    private func expression(_ depth: Int, _ random: inout SplitMix64) -> String {
        guard depth > 0 else { return Self.atoms.randomElement(using: &random) ?? "1" }
        let a = expression(depth - 1, &random)
        let b = expression(Int.random(in: 0..<depth, using: &random), &random)
        let c = Self.atoms.randomElement(using: &random) ?? "1"
        let filter = Self.filters.randomElement(using: &random) ?? "list"
        let method = Self.methods.randomElement(using: &random) ?? "upper"
        switch Int.random(in: 0..<12, using: &random) {
        case 0: return "(\(a))|\(filter)"
        case 1: return "(\(a))|\(filter)(\(b))"
        case 2: return "(\(a))|\(filter)(\(b), \(c))"
        case 3: return "(\(a)).\(method)()"
        case 4: return "(\(a)).\(method)(\(b))"
        case 5: return "(\(a)).\(method)(\(b), \(c))"
        case 6: return "(\(a))[\(b)]"
        case 7: return "(\(a))[\(b):\(c)]"
        case 8: return "(\(a))[:\(b):\(c)]"
        case 9:
            let sign = ["+", "-", "*", "/", "//", "%", "**", "~", "in", "<", "==", "and"]
                .randomElement(using: &random)
            return "(\(a)) \(sign ?? "+") (\(b))"
        case 10: return "(\(a)) if (\(b)) else (\(c))"
        default: return "[\(a), \(b)]"
        }
    }

    @Test func `no expression makes it crash`() throws {
        var random = SplitMix64(seed: 52)
        var rendered = 0
        for _ in 0..<100_000 {
            let value = expression(Int.random(in: 1...3, using: &random), &random)
            if isRendered("{{ \(value) }}", try context(&random)) { rendered += 1 }
        }
        #expect(rendered > 5000)
    }

    @Test func `no altered template makes it crash`() throws {
        var sources: [[UInt8]] = []
        for test in try ConfigFile.read(Fixtures.path("jinja/cases.json")).required("cases")
            .elements()
        {
            sources.append(Array(try test.required("template").string().utf8))
        }
        for name in try Fixtures.list("chat/templates") {
            sources.append(try ConfigFile.contents(Fixtures.path("chat/templates/\(name)")))
        }
        var random = SplitMix64(seed: 53)
        var rendered = 0
        for round in 0..<12_000 {
            let source = sources[round % sources.count]
            let bytes = random.mutated(source, headBias: source.count)
            let text = String(decoding: bytes, as: UTF8.self)
            if isRendered(text, try context(&random)) { rendered += 1 }
        }
        #expect(rendered > 1000)
    }
}
