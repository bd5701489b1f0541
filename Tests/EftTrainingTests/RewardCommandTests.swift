// SPDX-License-Identifier: Apache-2.0
// Programs that reward completions: what they are told, and what becomes of those that fail.
import EftConfig
import Testing

@testable import EftTraining

@Suite struct RewardCommandTests {
    private func rewards(
        _ command: String, _ lines: [String], timeout: Int = 60
    ) throws -> [Double?] {
        try RewardCommand(command, timeout: timeout).rewards(lines) {}
    }

    @Test func `a line is answered by a number`() throws {
        #expect(
            try rewards("while read line; do echo ${#line}; done", ["a", "bcd", ""]) == [1, 3, 0])
        #expect(
            try rewards(
                "printf '1e-2\\n null \\nNaN\\n-3\\n'; cat > /dev/null", ["a", "b", "c", "d"])
                == [0.01, nil, nil, -3])
    }

    @Test func `a command is started once and asked again`() throws {
        let command = try RewardCommand(
            "n=0; while read line; do n=$((n+1)); echo $n; done", timeout: 60)
        #expect(try command.rewards(["a", "b"]) {} == [1, 2])
        #expect(try command.rewards(["c"]) {} == [3])
    }

    @Test func `more than pipes hold goes through`() throws {
        let line = String(repeating: "x", count: 10_000)
        let found = try rewards(
            "while read line; do echo ${#line}; done", [String](repeating: line, count: 200))
        #expect(found == [Double?](repeating: 10_000, count: 200))
    }

    @Test(arguments: [
        ("exit 3", "exit status 3) after 0 of 2"), ("read line; echo 5; exit 0", "after 1 of 2"),
        ("kill -9 $$", "signal 9"), ("read line; echo well", "answered 'well'"),
        ("/nowhere/reward", "exit status 127"),
        ("read a; read b; printf '1\\n2\\n3\\n'; sleep 1", "more than a line"),
    ])
    func `a command that fails is named with what it did`(
        _ command: String, _ words: String
    ) throws {
        let error = try #require(throws: TrainingError.self) { try rewards(command, ["a", "b"]) }
        #expect(error.code == .reward && error.message.contains(words), "\(error.message)")
        #expect(error.message.contains("'\(excerpt(command))'"))
    }

    @Test func `a command that does not answer is given up`() throws {
        let error = try #require(throws: TrainingError.self) {
            try rewards("sleep 60", ["a"], timeout: 1)
        }
        #expect(error.code == .reward && error.message.contains("in 1 seconds"))
    }

    @Test func `waiting can be interrupted`() throws {
        struct Stop: Error {}
        let command = try RewardCommand("sleep 60", timeout: 60)
        #expect(throws: Stop.self) { try command.rewards(["a"]) { throw Stop() } }
    }
}
