// SPDX-License-Identifier: Apache-2.0
// Small templates against what jinja2 makes of them.
import EftConfig
import EftJinja
import EftTensor
import EftTestSupport
import Testing

struct TemplateCaseTests {
    @Test func `templates give what jinja2 gives`() throws {
        let document = try ConfigFile.read(Fixtures.path("jinja/cases.json"))
        guard case .dictionary(let context) = try TemplateValue(document.required("context").node)
        else { throw TemplateError(.type, "the context is no mapping") }
        var (texts, faults) = (0, 0)
        for test in try document.required("cases").elements() {
            let source = try test.required("template").string()
            let expected = try test.optional("output")?.string()
            do {
                let text = try Template(source).render(context, now: 0)
                #expect(text == expected, "\(source.debugDescription)")
                texts += 1
            } catch {
                #expect(expected == nil, "\(source.debugDescription): \(error)")
                #expect(error.code != .limit || source.contains("range"), "\(source)")
                faults += 1
            }
        }
        #expect(texts > 850 && faults > 170)
    }

    @Test func `errors name the line and what is wrong`() throws {
        func error(_ source: String) -> TemplateError? {
            do {
                _ = try Template(source).render(TemplateDictionary())
                return nil
            } catch { return error }
        }
        #expect(error("a\nb\n{{ x.y }}")?.line == 3)
        #expect(error("a\nb\n{{ x.y }}")?.code == .undefined)
        #expect(error("\n{% if 1 %}\n{{ 1 + 'a' }}{% endif %}")?.line == 3)
        #expect(error("{% for x in [1] %}\n\n{{ x.append(1) }}\n{% endfor %}")?.code == .undefined)
        #expect(error("\n{{ [].append(1) }}")?.code == .forbidden)
        #expect(error("\n\n{{ raise_exception('no') }}") == TemplateError(.raised, "no", line: 3))
        #expect(error("{% if 1 %}\n{% endfor %}")?.line == 2)
        #expect(error("{% include 'x' %}")?.code == .unsupported)
        #expect(error("{{ 1 | nothing }}")?.code == .unsupported)
        #expect(
            error("x\n{{ [1 }}")?.description
                == "template line 2: '}' closes nothing that is open")
    }

    @Test func `values come from documents and keep the order of keys`() throws {
        let node = try JSONParser.parse(
            #"{"z": 1, "a": [1.5, null, true, "é"], "m": {"k": {}}, "big": 1e300}"#)
        guard case .dictionary(let context) = try TemplateValue(["v": node]) else {
            throw TemplateError(.type, "no mapping")
        }
        let text = try Template("{{ v | tojson }}").render(context)
        #expect(
            text == #"{"z": 1, "a": [1.5, null, true, "é"], "m": {"k": {}}, "big": 1e+300}"#)
        #expect(try Template("{{ v.a }}").render(context) == "[1.5, None, True, 'é']")
    }

    @Test func `the clock is asked when no time is given`() throws {
        let year = try Template("{{ strftime_now('%Y') }}").render(TemplateDictionary())
        #expect((Int(year) ?? 0) >= 2024)
    }

    @Test func `searches find what looking at every place finds`() throws {
        var random = SplitMix64(seed: 54)
        let template = try Template(
            "{{ s.find(p) }} {{ s.rfind(p) }} {{ s.count(p) }} {{ p in s }} {{ s.split(p)|length }} {{ s.rsplit(p, 1)[0]|length }}"
        )
        for _ in 0..<3000 {
            func text(_ count: Int) -> String {
                String((0..<count).map { _ in "ab".randomElement(using: &random) ?? "a" })
            }
            let s = text(Int.random(in: 0...24, using: &random))
            let p = text(Int.random(in: 1...5, using: &random))
            let (all, part) = (Array(s), Array(p))
            let places = all.indices.filter { all[$0...].starts(with: part) }
            var count = 0
            var end = 0
            for place in places where place >= end {
                count += 1
                end = place + part.count
            }
            var context = TemplateDictionary()
            try context.set("s", .string(s))
            try context.set("p", .string(p))
            let expected =
                "\(places.first ?? -1) \(places.last ?? -1) \(count) \(places.isEmpty ? "False" : "True") \(count + 1) \(places.last ?? s.count)"
            #expect(try template.render(context) == expected, "\(s) \(p)")
        }
    }
}
