// SPDX-License-Identifier: Apache-2.0
// Verbs and help.

import EftCommandLine
import Testing

struct ProgramTests {
    @Test func `finds verbs, help, version and completion`() throws {
        guard case .run(let command, let parsed) = try sampleProgram.resolve(["quant", "-i", "x"])
        else {
            Issue.record("an alias is a verb")
            return
        }
        #expect(command.name == "quantize")
        #expect(parsed.string("in-dir") == "x")
        for words in [[], ["--help"], ["-h"], ["help"], ["completion", "--help"]] {
            guard case .programHelp = try sampleProgram.resolve(words) else {
                Issue.record("\(words) is no call for help")
                continue
            }
        }
        for words in [["help", "train"], ["train", "--help"], ["train", "-h", "--nonsense"]] {
            guard case .commandHelp(let command) = try sampleProgram.resolve(words) else {
                Issue.record("\(words) is no call for the help of a verb")
                continue
            }
            #expect(command.name == "train")
        }
        for (words, expected) in [
            (["--version"], false), (["version"], false), (["--version", "--verbose"], true),
        ] {
            guard case .version(expected) = try sampleProgram.resolve(words) else {
                Issue.record("\(words) is no call for the version")
                continue
            }
        }
        guard case .manualPages("out") = try sampleProgram.resolve(["completion", "man", "out"])
        else {
            Issue.record("no manual")
            return
        }
        guard case .completionScript(.fish) = try sampleProgram.resolve(["completion", "fish"])
        else {
            Issue.record("no completion")
            return
        }
    }

    @Test(
        arguments: [
            (["tarin", "x"], "unknown verb 'tarin'; did you mean 'train'?"),
            (["zzz"], "unknown verb 'zzz'; 'eft --help' lists the verbs"),
            (["help", "qantize"], "unknown verb 'qantize'; did you mean 'quantize'?"),
            (["--memory", "3"], "the verb comes first, then its options; found '--memory'"),
            (["completion"], "'eft completion' takes the name of a shell: bash, zsh, fish"),
            (["version", "now"], "'eft --version' takes only --verbose; found 'now'"),
            (["completion", "man"], "'eft completion man DIR' writes manual pages to a folder"),
            (["completion", "csh"], "'eft completion' takes the name of a shell: bash, zsh, fish"),
        ] as [([String], String)])
    func `refuses what is no verb`(words: [String], message: String) throws {
        let error = try #require(throws: UsageError.self) { try sampleProgram.resolve(words) }
        #expect(error.message == message)
        #expect(error.text(program: "eft") == "eft: \(message)\n'eft --help' explains the usage.\n")
    }

    @Test func `names the verb in its faults`() throws {
        let error = try #require(throws: UsageError.self) { try sampleProgram.resolve(["train"]) }
        #expect(
            error.text(program: "eft")
                == "eft train: CONFIG is missing: A YAML file.\n'eft train --help' explains the usage.\n"
        )
    }
}

struct HelpRendererTests {
    @Test func `shows the program`() {
        #expect(
            HelpRenderer(sampleProgram).programHelp() == """
                eft: fine-tunes and runs language models in little memory.

                Usage: eft VERB [options]

                Verbs:
                  train     Trains an adapter or a model.
                  quantize  Makes a quantized folder.

                Examples:
                  eft train config.yml
                      Trains what the file says.

                'eft VERB --help' explains a verb.
                'eft completion bash|zsh|fish' prints a completion script for the shell.

                """)
    }

    @Test func `shows a verb`() {
        #expect(
            HelpRenderer(sampleProgram).commandHelp(sampleQuantize) == """
                Usage: eft quantize [EXTRA]... -i DIR [options]

                Makes a quantized folder.

                Reads a model tensor by tensor.

                A run that was stopped goes on where it was.

                Arguments:
                  EXTRA     More files.

                Options:
                  -i, --in-dir DIR     Folder of the model. (required)
                  -b, --bits N         Bits a weight. (default: 4)
                  -hb, --head-bits N   Bits a weight of the output layer.
                  --memory SIZE        Memory that may be used: one size, or a list with one
                                       size a device.
                  --dtype TYPE         Type that's stored [x:y]. (one of bf16, f16, f32)
                  --adapter DIR        Adapter. (may be repeated)
                  -c, --cal-file FILE  Text.
                  --gpu-split LIST     Sizes.
                  --[no-]resume        Go on where a run was stopped. (default: on)
                  --no-cache           Leave the cache alone.
                  --json               Print one JSON object.
                  -t N                 Tokens.
                  -h, --help           Show this help.

                Examples:
                  eft quantize -i model -o work -cf out -b 4
                      Four bits a weight.

                """)
    }

    @Test func `puts the text of a long option on a line of its own`() {
        let command = CommandSpecification(
            name: "x", abstract: "X.",
            options: [
                OptionSpecification(
                    "--a-very-long-option-name", kind: .value("FOLDER"), help: "Text.")
            ], unknownOptions: .passedThrough(booleanKeys: []))
        let help = HelpRenderer(sampleProgram).commandHelp(command)
        #expect(help.contains("\n  --a-very-long-option-name FOLDER\n              Text.\n"))
        #expect(help.contains("--KEY VALUE"))
    }

    @Test(arguments: [20, 40, 60, 80, 100, 500])
    func `keeps lines within the width`(width: Int) {
        let renderer = HelpRenderer(sampleProgram, width: width)
        for help in [renderer.commandHelp(sampleQuantize), renderer.programHelp()] {
            let widest = help.split(separator: "\n").map { displayWidth(String($0)) }.max() ?? 0
            #expect(widest <= min(max(width, 24), 100))
        }
    }

    @Test func `breaks examples so that they can still be copied`() {
        let help = HelpRenderer(sampleProgram, width: 40).commandHelp(sampleQuantize)
        #expect(help.contains("  eft quantize -i model -o work -cf \\\n    out -b 4\n"))
        #expect(help.contains("\n  -i, --in-dir DIR\n      Folder of the model. (required)\n"))
    }

    @Test func `marks headings and names where there are colours`() {
        let output = TerminalOutput(isTerminal: true, width: 80, hasColor: true) { _ in }
        let help = HelpRenderer(sampleProgram, for: output).commandHelp(sampleTrain)
        #expect(help.contains("\n\u{1B}[1mOptions:\u{1B}[0m\n"))
        #expect(help.contains("  \u{1B}[1m--memory SIZE\u{1B}[0m  Memory.\n"))
    }
}
