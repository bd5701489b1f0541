// SPDX-License-Identifier: Apache-2.0
// Command lines: what they mean and what is refused.

import EftCommandLine
import Testing

private func quantize(_ line: String) throws -> ParsedArguments {
    try ArgumentParser.parse(words(line), for: sampleQuantize)
}

private func train(_ line: String) throws -> ParsedArguments {
    try ArgumentParser.parse(words(line), for: sampleTrain)
}

private func words(_ line: String) -> [String] { line.split(separator: " ").map(String.init) }

struct ArgumentParserTests {
    @Test(arguments: [
        "-i in -b 4.5 -hb 6", "--in-dir in --bits 4.5 --head-bits 6",
        "--in_dir=in --bits=4.5 --head_bits=6",
        "-i=in -b=4.5 -hb=6", "-hb 6 --in_dir in -b 4.5",
    ])
    func `reads every spelling of an option`(line: String) throws {
        let parsed = try quantize(line)
        #expect(parsed.string("in-dir") == "in")
        #expect(parsed.string("i") == "in")
        #expect(try parsed.double("bits") == 4.5)
        #expect(try parsed.int("head_bits") == 6)
        #expect(!parsed.isGiven("memory"))
        #expect(try parsed.memorySize("memory") == nil)
    }

    @Test func `reads flags, inversion and repetition`() throws {
        let parsed = try quantize("-i in --json --no-resume --adapter a --adapter=b --json")
        #expect(parsed.flag("json"))
        #expect(!parsed.flag("resume", default: true))
        #expect(!parsed.flag("no-cache"))
        #expect(parsed.strings("adapter") == ["a", "b"])
        #expect(try quantize("-i x").flag("resume", default: true))
        #expect(try quantize("-i x --no_cache").flag("no-cache"))
    }

    @Test func `tells values from options`() throws {
        #expect(try quantize("-i in -t -1").int("t") == -1)
        #expect(try quantize("-i in -t -1.5e3").double("t") == -1500)
        #expect(try quantize("-i - ").string("in-dir") == "-")
        #expect(try quantize("-i=--json").string("in-dir") == "--json")
        #expect(try quantize("--in-dir= ").string("in-dir")?.isEmpty == true)
        #expect(try quantize("-i a=b=c").string("in-dir") == "a=b=c")
        let spaced = try ArgumentParser.parse(["-i", "- a list"], for: sampleQuantize)
        #expect(spaced.string("in-dir") == "- a list")
        let dashes = try ArgumentParser.parse(["-i", "--- rule"], for: sampleQuantize)
        #expect(dashes.string("in-dir") == "--- rule")
    }

    @Test func `puts keys behind a dot into the option's object`() throws {
        let command = CommandSpecification(
            name: "serve", abstract: "Serves.",
            options: [
                OptionSpecification("--overrides", kind: .value("JSON"), help: "Keys."),
                OptionSpecification("--bits", kind: .value("N"), help: "Bits."),
            ])
        for line in [
            "--overrides.a 1 --overrides.b.c x --overrides.d",
            "--overrides {\"a\":1,\"b\":{}} --overrides.a=1 --overrides.b.c=x --overrides.d=true",
            "--overrides.a 1 --overrides.b {} --overrides.b.c \"x\" --overrides.d true",
        ] {
            let text = try ArgumentParser.parse(words(line), for: command).string("overrides")
            #expect(text == #"{"a":1,"b":{"c":"x"},"d":true}"#)
        }
        for (line, problem) in [
            ("--overrides [1] --overrides.a 1", "no JSON object"),
            ("--overrides {\"a\":1} --overrides.a.b 1", "no JSON object"),
            ("--overrides.a..b 1", "has no key"), ("--bits.a 1", "unknown option"),
        ] {
            let error = #expect(throws: UsageError.self) {
                try ArgumentParser.parse(words(line), for: command)
            }
            #expect(error?.message.contains(problem) == true, "\(error?.message ?? "")")
        }
    }

    @Test func `ends options at two dashes`() throws {
        let parsed = try quantize("-i in one -- --json -x -- two")
        #expect(parsed.arguments("EXTRA") == ["one", "--json", "-x", "--", "two"])
        #expect(!parsed.flag("json"))
    }

    @Test(
        arguments: [
            ("-i", "-i needs a value: -i DIR"), ("-i a --bits", "--bits needs a value: --bits N"),
            ("-i --json", "-i needs a value: -i DIR (write -i=--json if that is it)"),
            ("-i a --bitz 4", "unknown option '--bitz'; did you mean '--bits'?"),
            ("-i a -memory 4", "unknown option '-memory'; did you mean '--memory'?"),
            ("-i a --xyzzyx", "unknown option '--xyzzyx'"), ("-i a -q", "unknown option '-q'"),
            ("-i a -b 4 --bits 5", "--bits is given twice"),
            ("-i a -i a", "--in-dir is given twice"),
            ("-i a --resume --no-resume", "--resume is given both as on and as off"),
            ("-i a --json=yes", "--json takes no value; found 'yes'"),
            ("-i a --no-json", "unknown option '--no-json'"),
            ("--json", "--in-dir DIR is required: Folder of the model."),
            (
                "-i a --dtype bf61",
                "--dtype takes one of bf16, f16, f32; found 'bf61'; did you mean 'bf16'?"
            ),
            ("-i a --dtype=", "--dtype takes one of bf16, f16, f32; found ''"),
            ("-i a -ib 4", "unknown option '-ib'"), ("-i a -B 4", "unknown option '-B'"),
            ("-i a -b --", "-b needs a value: -b N (write -b=-- if that is it)"),
        ] as [(String, String)])
    func `refuses and says why`(line: String, message: String) throws {
        let error = try #require(throws: UsageError.self) { try quantize(line) }
        if message.contains("did you mean") || !message.hasPrefix("unknown") {
            #expect(error.message == message)
        } else {
            #expect(error.message.hasPrefix(message))
        }
        #expect(error.command == "quantize")
    }

    @Test func `needs its arguments and no more`() throws {
        #expect(try train("c.yml").requiredArgument("CONFIG") == "c.yml")
        #expect(
            try #require(throws: UsageError.self) { try train("") }.message
                == "CONFIG is missing: A YAML file.")
        #expect(
            try #require(throws: UsageError.self) { try train("a b") }.message
                == "unexpected argument 'b'")
    }

    @Test func `help wins over what is missing`() throws {
        #expect(try quantize("--help").isHelpRequested)
        #expect(try quantize("-b 4 -h").isHelpRequested)
        #expect(try !quantize("-i x -- --help").isHelpRequested)
    }

    @Test func `passes unknown options through`() throws {
        let parsed = try train(
            "--learning-rate 2e-4 c.yml --trl.beta=0.1 --no-sample-packing --memory 4G --flag "
                + "--load-in-4bit --bf16 no --min_value -3 --empty=")
        #expect(
            parsed.passedThrough.map { "\($0.key)=\($0.value)" } == [
                "learning_rate=2e-4", "trl.beta=0.1", "sample_packing=false", "flag=true",
                "load_in_4bit=true", "bf16=no", "min_value=-3", "empty=",
            ])
        #expect(try parsed.memorySize("memory")?.bytes == 4 << 30)
        #expect(parsed.argument("CONFIG") == "c.yml")
        #expect(try train("--load-in-4bit c.yml").argument("CONFIG") == "c.yml")
        #expect(throws: UsageError.self) { try train("c.yml --a 1 --a 2") }
        #expect(throws: UsageError.self) { try train("c.yml -x 1") }
    }
}

struct ParsedArgumentsTests {
    @Test(arguments: [
        "", "x", "4.0", "1e3", "99999999999999999999", "0x10", "1_0", " 1", "nan", "4GiB",
    ])
    func `refuses what is no integer`(text: String) throws {
        let parsed = try ArgumentParser.parse(["-i", "a", "--bits=\(text)"], for: sampleQuantize)
        let error = try #require(throws: UsageError.self) { try parsed.int("bits") }
        #expect(error.message == "--bits takes an integer; found '\(text)'")
    }

    @Test(arguments: ["", "x", "nan", "inf", "-inf", "1e999", "0x1p3", "1,5", "1.2.3", "infinity"])
    func `refuses what is no finite number`(text: String) throws {
        let parsed = try ArgumentParser.parse(["-i", "a", "--bits=\(text)"], for: sampleQuantize)
        let error = try #require(throws: UsageError.self) { try parsed.double("bits") }
        #expect(error.message == "--bits takes a number; found '\(text)'")
    }

    @Test func `checks ranges`() throws {
        let parsed = try quantize("-i a -b 9 -hb -3")
        #expect(try parsed.int("bits", in: 9...9) == 9)
        #expect(
            try #require(throws: UsageError.self) { try parsed.int("bits", in: 2...8) }.message
                == "--bits takes an integer from 2 to 8; found '9'")
        #expect(
            try #require(throws: UsageError.self) { try parsed.int("hb", in: 0...Int.max) }.message
                == "--head-bits takes an integer of at least 0; found '-3'")
        #expect(
            try #require(throws: UsageError.self) { try parsed.double("bits", in: 0...1) }.message
                == "--bits takes a number from 0.0 to 1.0; found '9'")
        #expect(try parsed.double("memory", default: 0.5) == 0.5)
        #expect(try parsed.int("memory", default: 5) == 5)
    }

    @Test func `reads lists`() throws {
        let parsed = try quantize("-i a --gpu_split=8,16 --memory 24GiB,1.5G")
        #expect(try parsed.ints("gpu-split") == [8, 16])
        #expect(try parsed.list("gpu_split") == ["8", "16"])
        #expect(try parsed.memorySizes("memory")?.map(\.bytes) == [24 << 30, 3 << 29])
        #expect(throws: UsageError.self) { try quantize("-i a --gpu_split=8,,1").list("gpu-split") }
        #expect(throws: UsageError.self) { try quantize("-i a --gpu_split=8,x").ints("gpu-split") }
        #expect(throws: UsageError.self) {
            try quantize("-i a --memory 8G,x").memorySizes("memory")
        }
        #expect(throws: UsageError.self) {
            try quantize("-i a --memory 8G,8G").memorySize("memory")
        }
        #expect(throws: UsageError.self) { try quantize("-i a").required("memory") }
    }
}

struct MemorySizeTests {
    @Test(
        arguments: [
            ("24GiB", 24 << 30), ("512MiB", 512 << 20), ("1.5G", 3 << 29), ("300M", 300 << 20),
            ("12345", 12345),
            ("1k", 1024), ("1KB", 1000), ("2TB", 2_000_000_000_000), ("1 tib", 1 << 40),
            ("64b", 64),
            (" 3 GB ", 3_000_000_000), (".5g", 1 << 29), ("2.G", 2 << 30), ("0.1M", 104857),
            ("007M", 7 << 20),
            ("9223372036854775807", Int.max), ("8388607T", 8_388_607 << 40),
        ] as [(String, Int)])
    func `reads sizes`(text: String, bytes: Int) {
        #expect(MemorySize.parse(text)?.bytes == bytes)
    }

    @Test(arguments: [
        "", " ", "G", ".", ".G", "-1G", "+1G", "0", "0G", "0.0", "1.5", "1.2.3G", "1e9", "nan",
        "inf", "1GG",
        "24 G iB", "1,5G", "9223372036854775808", "8388608T", "99999999999999999999T", "1Q", "0x10",
        "１G",
        "0.00000000001G",
    ])
    func `refuses what is no size`(text: String) {
        #expect(MemorySize.parse(text) == nil)
    }

    @Test func `reads lists and prints sizes`() {
        #expect(MemorySize.parseList("1G, 2G")?.map(\.description) == ["1 GiB", "2 GiB"])
        #expect(MemorySize.parseList("1G,,2G") == nil)
        #expect(MemorySize.parseList("") == nil)
    }

    @Test(
        arguments: [
            ("4x24GiB", Array(repeating: 24 << 30, count: 4)), ("2 x 1G", [1 << 30, 1 << 30]),
            ("1X512M,2x1k", [512 << 20, 1024, 1024]), ("1x1", [1]),
        ] as [(String, [Int])])
    func `a count stands for as many sizes`(text: String, sizes: [Int]) {
        #expect(MemorySize.parseList(text)?.map(\.bytes) == sizes)
    }

    @Test(arguments: [
        "0x1G", "-1x1G", "x1G", "4x", "4x4x1G", "1.5x1G", "4*1G", "5000x1G", "4096x1G,1G",
        "99999999999999999999x1G",
    ])
    func `refuses counts that make no sense`(text: String) {
        #expect(MemorySize.parseList(text) == nil)
    }

    @Test func `prints sizes`() {
        #expect(MemorySize.parse("1000")?.description == "1000 bytes")
        #expect(MemorySize.parse("1.5G")?.description == "1.50 GiB")
    }
}
