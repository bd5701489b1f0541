// SPDX-License-Identifier: Apache-2.0
// Options that are read but not shown, and options with many values.

import EftCommandLine
import Testing

private let serve = CommandSpecification(
    name: "serve", abstract: "Serve.",
    options: [
        OptionSpecification("-m", "--model", kind: .value("DIR"), help: "the model"),
        OptionSpecification(
            "--name", kind: .repeated("NAME"), help: "names", choices: ["a", "b", "c"],
            takesMany: true),
        OptionSpecification("--memory", kind: .value("SIZE"), help: "memory"),
        OptionSpecification("--fast", help: "be fast"),
    ],
    hiddenOptions: [
        OptionSpecification("--eager", kind: .invertibleFlag, help: "nothing"),
        OptionSpecification(
            names: ["--swap-space", "-ss"], kind: .repeated("VALUE"), help: "nothing"),
    ],
    arguments: [ArgumentSpecification("MODEL", count: .optional, help: "the model")])

private let program = ProgramSpecification(
    name: "eft", version: "1", abstract: "A program.", commands: [serve])

private func parse(_ line: String) throws -> ParsedArguments {
    try ArgumentParser.parse(line.split(separator: " ").map(String.init), for: serve)
}

struct HiddenOptionTests {
    @Test func `hidden options are read like others, and shown nowhere`() throws {
        let parsed = try parse("dir --no-eager -ss 4 --swap_space=8 --fast")
        #expect(parsed.argument("MODEL") == "dir" && parsed.flag("fast"))
        #expect(parsed.isGiven("eager") && !parsed.flag("eager", default: true))
        #expect(parsed.strings("swap-space") == ["4", "8"])
        #expect(parsed.declares("swap-space") && parsed.declares("ss"))
        #expect(!HelpRenderer(program).commandHelp(serve).contains("swap"))
        for shell in Shell.allCases {
            #expect(!CompletionScript.text(for: program, shell: shell).contains("swap"))
        }
    }

    @Test func `a slip in a hidden option is answered by its name`() throws {
        let error = #expect(throws: UsageError.self) { try parse("--swap-spaec 4") }
        #expect(error?.message.contains("--swap-space") == true)
    }

    @Test func `an option of many values takes all up to the next option`() throws {
        #expect(try parse("--name a b --fast --name=c").strings("name") == ["a", "b", "c"])
        #expect(try parse("--name a -- dir").argument("MODEL") == "dir")
        #expect(throws: UsageError.self) { try parse("--name a dir") }
        #expect(throws: UsageError.self) { try parse("--name") }
    }

    @Test func `an argument stands for an option`() throws {
        for line in ["dir", "-m dir", "dir --model dir"] {
            var parsed = try parse(line)
            try parsed.takeArgument("MODEL", as: "model")
            #expect(try parsed.required("model") == "dir")
        }
        for line in ["dir -m other", "--fast"] {
            var parsed = try parse(line)
            #expect(throws: UsageError.self) { try parsed.takeArgument("MODEL", as: "model") }
        }
    }

    @Test func `values can be replaced and taken off`() throws {
        var parsed = try parse("dir --memory 1GiB --name a b")
        parsed.replace("memory", with: "2GiB")
        parsed.replace("name", withAll: ["c"])
        parsed.turn("fast", on: true)
        #expect(try parsed.memorySize("memory")?.bytes == 2 << 30)
        #expect(parsed.strings("name") == ["c"] && parsed.flag("fast"))
        parsed.replace("memory", with: nil)
        parsed.replace("name", withAll: [])
        parsed.turn("fast", on: false)
        #expect(!parsed.isGiven("memory") && !parsed.isGiven("name") && !parsed.flag("fast"))
    }
}
