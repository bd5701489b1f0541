// SPDX-License-Identifier: Apache-2.0
// Plain YAML scalars: PyYAML's reading, and the places where ours is wider.

import EftConfig
import Testing

struct YAMLScalarTests {
    @Test(arguments: ["", "~", "null", "Null", "NULL"])
    func `nulls`(text: String) { #expect(YAMLScalar.resolve(text) == .null) }

    @Test(arguments: [
        ("true True TRUE yes Yes YES on On ON", true),
        ("false False FALSE no No NO off Off OFF", false),
    ])
    func `truth values`(words: String, expected: Bool) {
        for word in words.split(separator: " ") {
            #expect(YAMLScalar.resolve(String(word)) == .bool(expected), "\(word)")
        }
    }

    // As PyYAML 6 reads them, apart from 0o17, which it holds for a string.
    @Test(
        arguments: [
            ("0", 0), ("-1", -1), ("+1", 1), ("-0", 0), ("00", 0), ("007", 7), ("010", 8),
            ("-017", -15),
            ("0_", 0), ("0_7", 7), ("0o17", 15), ("0x1F", 31), ("0xff_ff", 65535), ("+0x10", 16),
            ("0b101", 5), ("-0b11", -3), ("1_000", 1000), ("1__0", 10), ("1_", 1), ("1:30", 90),
            ("1:5", 65), ("-1:30", -90), ("1:30:30", 5430), ("190:20:30", 685_230),
            ("9223372036854775807", Int.max), ("-9223372036854775808", Int.min),
        ] as [(String, Int)])
    func `integers`(text: String, expected: Int) {
        #expect(YAMLScalar.resolve(text) == .integer(expected))
    }

    @Test(
        arguments: [
            ("1.0", 1), ("1.", 1), (".5", 0.5), ("1.5e+3", 1500), ("1.5e-3", 0.0015),
            ("1_000.5", 1000.5),
            ("1_0.0_1", 10.01), (".5_", 0.5), ("1._5", 1.5), ("1.e+3", 1000), ("00.5", 0.5),
            ("09.5", 9.5),
            ("-1.5", -1.5), (".inf", .infinity), ("+.INF", .infinity), ("-.Inf", -.infinity),
            ("1:30.5", 90.5), ("0:30.5", 30.5), ("1:30.5_0", 90.5),
            ("9223372036854775808", 9_223_372_036_854_775_808),
            ("1000000000000000019884624838656", 1e30),
            ("0xFFFFFFFFFFFFFFFFFF", 4.722366482869645e21),
            // Strings for PyYAML, numbers for the people who write them.
            ("1e-4", 1e-4), ("2e-4", 2e-4), ("5e-05", 5e-5), ("1e5", 1e5), ("1E5", 1e5),
            ("1.5e3", 1500),
            ("1.e5", 1e5), ("-.5", -0.5), ("+.5", 0.5), ("1e+5", 1e5),
        ] as [(String, Double)])
    func `real numbers`(text: String, expected: Double) {
        #expect(YAMLScalar.resolve(text) == .real(expected))
    }

    @Test(arguments: [".nan", ".NaN", ".NAN"])
    func `not-a-number`(text: String) throws {
        guard case .real(let value) = YAMLScalar.resolve(text) else {
            Issue.record("\(text) is not a number")
            return
        }
        #expect(value.isNaN)
    }

    @Test func `everything else is a string`() {
        let words = """
            nUll nil tRue yEs y n Y N 08 09 0X1F 0x_ 0x 0b12 0b 0o 0o8 _1 . .. -. 1e 1e+ e5 ._5 1.2.3 .e5
            .iNf inf -.nan nan NaN Infinity 0:30 1:60 1:2:x 01:30 2002-12-14 12-14 1,000 1/2 10% 5GB = <<x v1.0 3a
            a3 +a - -- --1 +-1 + 1e999 1:-5 1: :1 1:2.x ٣ １
            """
        for word in words.split(whereSeparator: \.isWhitespace) {
            #expect(YAMLScalar.resolve(String(word)) == .string(String(word)), "\(word)")
        }
    }
}
