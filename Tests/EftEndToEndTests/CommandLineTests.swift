// SPDX-License-Identifier: Apache-2.0
// The program as a user meets it: output, exit statuses, refusals.
import EftConfig
import EftFormats
import EftTestSupport
import Foundation
import Testing

/// Runs the program that was built with the tests.
struct Program {
    let status: Int32
    let output: String
    let errors: String

    init(_ arguments: String...) throws {
        let process = Process()
        let path = FileSystem.join(Fixtures.packageRoot, ".build/release/eft")
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: Fixtures.packageRoot)
        let (out, err) = (Pipe(), Pipe())
        process.standardOutput = out
        process.standardError = err
        process.standardInput = FileHandle.nullDevice
        try process.run()
        // Both pipes are short enough not to fill.
        output = String(decoding: out.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        errors = String(decoding: err.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        status = process.terminationStatus
    }
}

@Suite struct CommandLineTests {
    @Test func `help lists every verb and each has examples`() throws {
        let help = try Program("--help")
        #expect(help.status == 0)
        for verb in ["plan", "inspect", "train", "merge", "convert", "quantize", "run", "eval", "bench"] {
            #expect(help.output.contains("\n  \(verb) "), "\(verb)")
            let own = try Program(verb, "--help")
            #expect(own.status == 0)
            #expect(own.output.contains("Examples:"), "\(verb)")
        }
    }

    @Test func `wrong usage is status 2 and suggests`() throws {
        let verb = try Program("trian")
        #expect(verb.status == 2 && verb.errors.contains("train"))
        let option = try Program("run", "--adaptor", "x")
        #expect(option.status == 2 && option.errors.contains("--adapter"))
        let number = try Program("plan", "Examples/demo/model", "--rank", "many")
        #expect(number.status == 2 && number.errors.contains("--rank"))
    }

    @Test func `a plan is a table, and an object for machines`() throws {
        let table = try Program("plan", "Examples/demo/model", "--memory", "1GiB")
        #expect(table.status == 0 && table.output.contains("QLoRA"))
        let json = try Program("plan", "Examples/demo/model", "--memory", "1GiB", "--json")
        let plan = ConfigCursor(try JSONParser.parse(json.output))
        #expect(try plan.required("fits").bool())
    }

    @Test func `what does not fit is refused with status 3 and a table`() throws {
        let run = try Program(
            "run", "-m", "Examples/demo/model", "-p", "Hello", "--memory", "4MiB")
        #expect(run.status == 3)
        #expect(run.errors.contains("weights") && run.errors.contains("total"))
        #expect(run.output.isEmpty)
    }

    @Test func `damaged and missing files are status 4`() throws {
        let folder = try TemporaryFolder()
        let model = Fixtures.path("models/plain")
        for name in ["config.json", "model.safetensors"] {
            var bytes = try FileSystem.read(FileSystem.join(model, name))
            if name == "model.safetensors" { bytes.removeLast(100) }
            try folder.write(name, bytes)
        }
        let damaged = try Program("inspect", folder.path)
        #expect(damaged.status == 4 && damaged.errors.contains("model.safetensors"))
        let missing = try Program("inspect", folder.path + "/nothing")
        #expect(missing.status == 4)
        let pickle = try Program(
            "inspect", Fixtures.path("formats/bin-hostile/os-system.bin"))
        #expect(pickle.status == 4 && pickle.errors.contains("system"))
    }

    @Test func `the demo model answers, the same every time`() throws {
        let arguments = ["run", "-m", "Examples/demo/model", "-p", "One day", "-t", "8", "--json"]
        let one = try Program(arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5], arguments[6], arguments[7])
        #expect(one.status == 0)
        let answer = ConfigCursor(try JSONParser.parse(one.output))
        #expect(try answer.required("tokens").elements().count == 8)
        let two = try Program(arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5], arguments[6], arguments[7], "--threads", "1")
        let other = ConfigCursor(try JSONParser.parse(two.output))
        #expect(try other.required("text").string() == answer.required("text").string())
    }
}
