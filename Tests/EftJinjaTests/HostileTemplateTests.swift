// SPDX-License-Identifier: Apache-2.0
// Templates that would take for ever, or all memory, or the stack: refused, never a crash.
import EftJinja
import Testing

struct HostileTemplateTests {
    private func error(_ source: String, steps: Int? = nil) -> TemplateError? {
        var limits = TemplateLimits()
        if let steps { limits.steps = steps }
        do {
            _ = try Template(source).render(TemplateDictionary(), limits: limits)
            return nil
        } catch { return error }
    }

    static let tooMuch = [
        // Time.
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
        "{% set n = namespace(l=[1]) %}{% for i in range(100) %}{% set n.l = n.l + n.l %}{% endfor %}",
        "{% set n = namespace(l=range(90000)|list) %}{% for i in range(90000) %}{{ 1 in n.l[:-1][::-1] }}{% endfor %}",
        "{% set s = 'ab' * 4000000 %}{% for i in range(90000) %}{{ s.find('b' * 9) }}{% endfor %}",
        "{% set s = ('a' * 200000) %}{% for i in range(90000) %}{{ s[i] }}{% endfor %}",
        "{% set s = 'a' * 2000000 %}{{ s.replace('a' * 100000 ~ 'b', '') }}{% for i in range(100000) %}{{ s.count('a') }}{% endfor %}",
        "{% set s = 'a' * 1000000 %}{% set t = 'a' * 500000 ~ 'b' %}{% for i in range(90000) %}{{ t in s }}{{ s.rfind(t) }}{{ s.find(t) }}{% endfor %}",
        "{% set s = 'a' * 1000000 %}{% set d = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7, 8: 8, 9: 9} %}{% for i in range(100000) %}{{ d[s] }}{{ s in d }}{{ d.get(s) }}{% endfor %}",
        "{% set t = range(1000)|list %}{{ {(1, t|string, 'a' * 2000): 1} }}",
        "{% for i in range(100000) %}{% set x = '{:04096,}{:4000}{:4000}{:4000}{:4000}{:4000}'.format(1, 2, 3, 4, 5, 6) %}{% endfor %}",
        // Memory.
        "{{ 'a' * 1000000000 }}", "{{ 'a' * 9223372036854775807 }}",
        "{{ [0] * 9223372036854775807 }}",
        "{{ (0,) * 1000000000 }}", "{{ range(1000000000000) }}",
        "{{ range(-9223372036854775807, 9223372036854775807) }}",
        "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
        "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}",
        "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s.replace('x', 'xx') %}{% endfor %}",
        "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = [n.s, n.s]|join %}{% endfor %}",
        "{% set n = namespace(s='%s%s') %}{% for i in range(60) %}{% set n.s = '%s%s' % (n.s, n.s) %}{% endfor %}",
        "{{ 'a'.center(1000000000) }}", "{{ 'a'.ljust(9223372036854775807) }}",
        "{{ '1'.zfill(99999999999) }}",
        "{{ 'abc'.zfill(9223372036854775807) }}",
        "{{ '%999999999d' % 1 }}", "{{ '%.999999999f' % 1 }}", "{{ '%*d' % (999999999, 1) }}",
        "{{ '{:999999999}'.format(1) }}", "{{ '{:.999999999f}'.format(1.0) }}",
        "{{ '\\t'.expandtabs(1000000000) }}", "{{ 'a'|indent(1000000000, true) }}",
        "{{ ('a\\n' * 1000000)|indent('x' * 1000) }}", "{{ [[1]]|tojson(indent=100000000) }}",
        "{{ ([1] * 100000)|tojson(separators=('x' * 100000, 'y')) }}",
        "{{ [1]|batch(9223372036854775807, 0)|list }}",
        "{{ [1]|slice(9223372036854775807) }}", "{{ 'a'|center(10000000000) }}",
        "{% for i in range(100000) %}{{ 'x' * 10000 }}{% endfor %}",
        "{% set n = namespace(l=[]) %}{% for i in range(100000) %}{% set n.l = n.l + [i] %}{% endfor %}",
        // A small graph that prints as an enormous tree.
        "{% set n = namespace(l=[1]) %}{% for i in range(90) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l }}",
        "{% set n = namespace(l=[1]) %}{% for i in range(90) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l|tojson }}",
        "{% set n = namespace(l=[1]) %}{% for i in range(90) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l == n.l }}",
        "{% set n = namespace(l=[1], m=[1]) %}{% for i in range(90) %}{% set n.l = [n.l, n.l] %}{% set n.m = [n.m, n.m] %}{% endfor %}{{ n.l < n.m }}",
        "{% set n = namespace(l=(1,)) %}{% for i in range(90) %}{% set n.l = (n.l, n.l) %}{% endfor %}{{ {n.l: 1} }}",
        "{% set n = namespace(l=(1,)) %}{% for i in range(90) %}{% set n.l = (n.l, n.l) %}{% endfor %}{{ [n.l, n.l]|unique }}",
        // Depth.
        "{% set n = namespace(l=[]) %}{% for i in range(100000) %}{% set n.l = [n.l] %}{% endfor %}",
        "{% set n = namespace(l={}) %}{% for i in range(100000) %}{% set n.l = {'a': n.l} %}{% endfor %}",
        "{% set n = namespace(l=[]) %}{% for i in range(100000) %}{% set n.l = [n.l].index %}{% endfor %}",
        "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
        "{% for x in [[1]] recursive %}{{ loop([[x]]) }}{% endfor %}",
        "{% macro a() %}{% call b() %}{% endcall %}{% endmacro %}{% macro b() %}{{ caller }}{{ a() }}{% endmacro %}{{ a() }}",
    ]

    @Test(arguments: tooMuch)
    func `what asks for too much is refused`(source: String) {
        // Fewer steps than a server allows keep the test short.
        #expect(error(source, steps: 1_000_000)?.code == .limit, "\(source)")
    }

    @Test func `deep sources are refused`() {
        let count = 100_000
        func pair(_ open: String, _ middle: String, _ close: String) -> String {
            String(repeating: open, count: count) + middle + String(repeating: close, count: count)
        }
        let sources = [
            "{{ \(pair("(", "1", ")")) }}", "{{ \(pair("[", "1", "]")) }}",
            "{{ \(pair("{1:", "1", "}")) }}", "{{ \(pair("-", "1", "")) }}",
            "{{ \(pair("not ", "1", "")) }}", "{{ \(pair("1 + ", "1", "")) }}",
            "{{ \(pair("1 ** ", "1", "")) }}", "{{ \(pair("1 and ", "1", "")) }}",
            "{{ \(pair("1 if 1 else ", "1", "")) }}", "{{ 1 \(pair("", "", " if 1")) }}",
            "{{ x\(pair("", "", ".a")) }}", "{{ x\(pair("", "", "[0]")) }}",
            "{{ x\(pair("", "", "()")) }}", "{{ x\(pair("", "", "|e")) }}",
            "{{ x\(pair("", "", " is none")) }}", "{{ f\(pair("(f", "", ")")) }}",
            "{{ x[\(pair("x[", "1", "]"))] }}", "{{ x is \(pair("eq [", "1", "]")) }}",
            pair("{% if 1 %}", "", "{% endif %}"), pair("{% for x in y %}", "", "{% endfor %}"),
            pair("{% set x %}", "", "{% endset %}"), pair("{% with %}", "", "{% endwith %}"),
            pair("{% filter e %}", "", "{% endfilter %}"),
            pair("{% macro m() %}", "", "{% endmacro %}"),
            "{% for \(pair("(", "x", ")")) in y %}{% endfor %}",
            "{% if 1 %}\(pair("{% elif 1 %}", "", "")){% endif %}x",
        ]
        for source in sources.dropLast() {
            let code = error(source)?.code
            #expect(code == .limit || code == .syntax, "\(source.prefix(40)): \(code as Any)")
        }
        // A long chain of conditions has no depth.
        #expect(error(sources.last ?? "") == nil)
    }

    @Test func `large numbers are refused and never wrap`() {
        let sources = [
            "{{ 9223372036854775807 + 1 }}", "{{ -9223372036854775807 - 2 }}",
            "{{ 9223372036854775807 * 2 }}", "{{ 2 ** 63 }}", "{{ 10 ** 19 }}",
            "{{ (-9223372036854775807 - 1) // -1 }}", "{{ -(-9223372036854775807 - 1) }}",
            "{{ (-9223372036854775807 - 1)|abs }}", "{{ (-9223372036854775807 - 1) % -1 }}",
            "{{ [9223372036854775807, 1]|sum }}", "{{ '%d' % 1e300 }}", "{{ 1e308 ** 2 }}",
        ]
        for source in sources {
            let code = error(source)?.code
            #expect(code == .value, "\(source): \(code as Any)")
        }
        #expect(error("{{ 99999999999999999999 }}")?.code == .syntax)
        #expect(error("{{ 1e400|int }}{{ 'nan'|float|int }}{{ 1e308|int }}") == nil)
        #expect(error("{{ 'abc'[9223372036854775807] }}{{ [1][-9223372036854775807 - 1] }}") == nil)
        #expect(
            error("{{ 'abc'[-9223372036854775807 - 1:9223372036854775807:9223372036854775807] }}")
                == nil)
        #expect(
            error("{{ [1, 2][::-9223372036854775807 - 1] }}{{ 'abc'[:-9223372036854775807 - 1] }}")
                == nil)
        #expect(error("{{ 1.5|round(-400) }}")?.code == .value)
        #expect(
            error("{{ 9223372036854775807|round(-1) }}{{ (-9223372036854775807 - 1)|round(-19) }}")
                == nil)
        #expect(error("{{ 'a'.find('a', -9223372036854775807 - 1, 9223372036854775807) }}") == nil)
        #expect(
            error(
                "{{ 'a b'.split(none, 9223372036854775807) }}{{ 'a'|truncate(9223372036854775807) }}"
            )?.code == .value)
        #expect(error("{{ '{9223372036854775807}'.format(1) }}")?.code == .value)
    }

    @Test func `output is bounded`() {
        var limits = TemplateLimits()
        limits.outputBytes = 10
        #expect(throws: TemplateError.self) {
            try Template("{{ 'a' * 11 }}").render(TemplateDictionary(), limits: limits)
        }
        #expect(throws: Never.self) {
            try Template("{{ 'a' * 10 }}").render(TemplateDictionary(), limits: limits)
        }
    }
}
