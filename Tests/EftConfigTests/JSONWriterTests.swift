// SPDX-License-Identifier: Apache-2.0
// The JSON writer against Python's json.dumps, and round trips.

import EftConfig
import EftTensor
import Testing

struct JSONWriterTests {
    private let sample: ConfigNode = [
        "name": "eft \"x\"\n\u{1}\u{7f}é😀/", "empty": [], "none": [:],
        "list": [1, 2.0, -0.5, true, .null], "nested": ["a": ["b": 1e-05]],
    ]

    @Test func `lays out as json.dumps`() {
        #expect(
            JSONWriter.text(sample)
                == #"{"name": "eft \"x\"\n\u0001\#u{7f}é😀/", "empty": [], "none": {}, "#
                + #""list": [1, 2.0, -0.5, true, null], "nested": {"a": {"b": 1e-05}}}"#)
    }

    @Test func `lays out as json.dumps with an indentation`() {
        #expect(
            JSONWriter.text(["a": [1, ["b": []]], "c": [:], "d": "x"], layout: .indented(2)) == """
                {
                  "a": [
                    1,
                    {
                      "b": []
                    }
                  ],
                  "c": {},
                  "d": "x"
                }
                """)
    }

    @Test func `leaves out spaces when asked to`() {
        #expect(
            JSONWriter.text(["a": [1, 2], "b": .null], layout: .minimal) == #"{"a":[1,2],"b":null}"#
        )
    }

    @Test func `writes what JSON has no word for as null`() {
        #expect(
            JSONWriter.text([ConfigNode(Double.nan), ConfigNode(-Double.infinity)])
                == "[null, null]")
    }

    @Test(
        arguments: [
            (0.0, "0.0"), (-0.0, "-0.0"), (1.0, "1.0"), (-1.5, "-1.5"), (0.1, "0.1"),
            (0.0001, "0.0001"), (0.00012345, "0.00012345"), (0.00001, "1e-05"), (1.5e-7, "1.5e-07"),
            (2e-4, "0.0002"), (1e15, "1000000000000000.0"), (1e16, "1e+16"),
            (9_007_199_254_740_992, "9007199254740992.0"),
            (1.2345678901234568e16, "1.2345678901234568e+16"),
            (18_014_398_509_481_984, "1.8014398509481984e+16"),
            (123456789012345680, "1.2345678901234568e+17"),
            (9999999999999998, "9999999999999998.0"), (1e22, "1e+22"), (1e100, "1e+100"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (Double.leastNonzeroMagnitude, "5e-324"),
            (2.2250738585072014e-308, "2.2250738585072014e-308"), (1.0 / 3, "0.3333333333333333"),
            (100, "100.0"), (123.456, "123.456"), (1e-10, "1e-10"), (10000000000000000, "1e+16"),
            (-1e-100, "-1e-100"), (0.30000000000000004, "0.30000000000000004"),
        ] as [(Double, String)])
    func `spells numbers as Python's repr`(value: Double, expected: String) {
        #expect(pythonText(of: value) == expected)
    }

    @Test func `spells every number so that it reads back`() {
        var random = SplitMix64(seed: 7)
        for _ in 0..<20_000 {
            let value = Double(bitPattern: random.next())
            guard value.isFinite else { continue }
            #expect(Double(pythonText(of: value))?.bitPattern == value.bitPattern)
        }
    }

    @Test(arguments: [JSONWriter.Layout.compact, .minimal, .indented(2), .indented(0)])
    func `reads back what it wrote`(layout: JSONWriter.Layout) throws {
        var random = SplitMix64(seed: 42)
        for _ in 0..<300 {
            let node = randomNode(&random)
            let text = JSONWriter.text(node, layout: layout)
            let again = try JSONParser.parse(text)
            #expect(again == node)
            // Equality does not see the order of keys; the text does.
            #expect(JSONWriter.text(again, layout: layout) == text)
        }
    }
}
