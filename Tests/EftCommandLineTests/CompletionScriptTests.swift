// SPDX-License-Identifier: Apache-2.0
// Completion scripts, run where the shell is at hand.

import EftCommandLine
import EftTestSupport
import Foundation
import Testing

private let bashPath = "/bin/bash"
private let hasBash = FileManager.default.isExecutableFile(atPath: bashPath)

/// Runs bash on a script from standard input.
private func runBash(_ arguments: [String], script: String, folder: String? = nil) throws -> (
    status: Int32, output: String
) {
    let process = Process()
    process.executableURL = URL(filePath: bashPath)
    process.arguments = ["--norc", "--noprofile"] + arguments
    if let folder { process.currentDirectoryURL = URL(filePath: folder) }
    let input = Pipe()
    let output = Pipe()
    process.standardInput = input
    process.standardOutput = output
    process.standardError = output
    try process.run()
    input.fileHandleForWriting.write(Data(script.utf8))
    try input.fileHandleForWriting.close()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: data, as: UTF8.self))
}

struct CompletionScriptTests {
    private let bash = CompletionScript.text(for: sampleProgram, shell: .bash)

    @Test(.enabled(if: hasBash)) func `bash accepts its script`() throws {
        let result = try runBash(["-n"], script: bash)
        #expect(result.status == 0)
        #expect(result.output.isEmpty)
    }

    @Test(
        .enabled(if: hasBash),
        arguments: [
            (["eft", ""], "train quantize help completion --help --version"),
            (["eft", "qu"], "quantize"), (["eft", "--v"], "--version"),
            (["eft", "help", "t"], "train"),
            (["eft", "completion", ""], "bash zsh fish"),
            (["eft", "quantize", "--me"], "--memory"),
            (["eft", "quant", "--he"], "--head-bits --help"),
            (["eft", "quantize", "--no-"], "--no-resume --no-cache"),
            (["eft", "quantize", "-h"], "-hb"),
            (["eft", "quantize", "--dtype", ""], "bf16 f16 f32"),
            (["eft", "quantize", "--dtype", "=", "b"], "bf16"),
            (["eft", "quantize", "--dtype", "="], "bf16 f16 f32"),
            (["eft", "quantize", "-b", ""], ""), (["eft", "quantize", "-i", ""], "folder"),
            (["eft", "quantize", "-c", "f"], "folder file.txt"),
            (["eft", "train", "fi"], "file.txt"),
            (["eft", "train", "--"], "--memory --help"), (["eft", "zzz", ""], ""),
        ] as [([String], String)])
    func `bash completes`(words: [String], expected: String) throws {
        let folder = FileManager.default.temporaryDirectory.appending(
            path: "eft-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: folder.appending(path: "folder"), withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data().write(to: folder.appending(path: "file.txt"))
        let quoted = words.map { "'\($0)'" }.joined(separator: " ")
        let script =
            bash + """
                COMP_WORDS=(\(quoted)); COMP_CWORD=\(words.count - 1)
                _eft
                printf '%s\\n' "${COMPREPLY[@]}"
                """
        let result = try runBash(["-s"], script: script, folder: folder.path)
        let found = result.output.split(separator: "\n").map(String.init)
        // "-h" begins "-hb" and nothing else that the sample declares.
        #expect(Set(found) == Set(expected.split(separator: " ").map(String.init)))
    }

    @Test(arguments: [Shell.zsh, .fish])
    func `other shells accept theirs, where they are installed`(shell: Shell) throws {
        let path = "/usr/bin/\(shell.rawValue)"
        guard FileManager.default.isExecutableFile(atPath: path) else { return }
        let folder = try TemporaryFolder()
        let script = try folder.write(
            "script", CompletionScript.text(for: sampleProgram, shell: shell))
        let process = Process()
        process.executableURL = URL(filePath: path)
        process.arguments = ["-n", script]
        let errors = Pipe()
        process.standardError = errors
        try process.run()
        let text = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0 && text.isEmpty)
    }

    @Test(.enabled(if: hasBash)) func `bash registers the function`() throws {
        let result = try runBash(["-s"], script: bash + "complete -p eft\n")
        #expect(result.output == "complete -F _eft eft\n")
    }

    @Test func `zsh and fish name every verb and option`() {
        let zsh = CompletionScript.text(for: sampleProgram, shell: .zsh)
        let fish = CompletionScript.text(for: sampleProgram, shell: .fish)
        #expect(zsh.hasPrefix("#compdef eft\n"))
        for command in sampleProgram.commands {
            #expect(zsh.contains("        \(command.name)"))
            #expect(fish.contains("__fish_use_subcommand -a \(command.name) "))
            for name in command.options.flatMap(\.names) { #expect(zsh.contains(name)) }
        }
        #expect(
            zsh.contains(
                "'(--dtype)--dtype=[Type that'\\''s stored \\[x\\:y\\].]:TYPE:(bf16 f16 f32)'"))
        #expect(zsh.contains("'*--adapter=[Adapter.]:DIR:_files -/'"))
        #expect(zsh.contains("'*:EXTRA:_files'"))
        #expect(fish.contains("-l dtype -x -a 'bf16 f16 f32' -d 'Type that\\'s stored [x:y].'"))
        #expect(fish.contains(" -o hb -x -d "))
        #expect(fish.contains(" -s i -x -a '(__fish_complete_directories)' -d "))
        #expect(fish.contains(" -l no-resume -d "))
        #expect(fish.contains("-n '__fish_seen_subcommand_from quantize quant' -F"))
    }
}
