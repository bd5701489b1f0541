// SPDX-License-Identifier: Apache-2.0
// Which states behind prompts and answers are kept, and which make room.
import EftNN
import EftTensor
import Testing

@Suite struct StateSnapshotsTests {
    private let root = PageTable.Root()

    private func table(snapshots: Int, pages: Int = 64) -> PageTable {
        PageTable(
            PagePlan(pages: pages, isPaged: [true]), groupSizes: [1], snapshots: snapshots)
    }

    private func tokens(_ count: Int, seed: Int = 0) -> [Int32] {
        (0..<count).map { Int32($0 * 7 + seed) }
    }

    /// Reads a prompt, keeps its state behind its last full page and then behind each full page of its answer.
    /// - Returns: the tokens that were found and the places that states were written to.
    private func read(
        _ table: inout PageTable, _ sequence: Int, _ tokens: [Int32], prompt: Int
    ) -> (cached: Int, from: Int?, places: [Int?]) {
        let cached = table.begin(
            sequence: sequence, root: root, tokens: Array(tokens.prefix(prompt)), most: prompt - 1)
        let from = table.beginning(of: sequence)
        let done = table.extend(sequence: sequence, to: tokens.count)
        #expect(done)
        var places: [Int?] = []
        let last = (prompt - 1) / 16 * 16
        for computed in stride(from: last, through: tokens.count, by: 16) where computed > cached {
            table.publish(sequence: sequence, tokens: tokens, computed: computed)
            places.append(
                table.keepState(
                    sequence: sequence, computed: computed, isAnswer: computed > last))
        }
        table.release(sequence: sequence)
        return (cached, from, places)
    }

    @Test func `an answer keeps one state, its prompt another`() {
        var table = table(snapshots: 2)
        let long = tokens(100)
        let first = read(&table, 1, long, prompt: 40)
        #expect(first.cached == 0 && first.from == nil)
        // The prompt's page, then the answer's last one in the same place each time.
        #expect(first.places == [0, 1, 1, 1, 1])
        let next = read(&table, 2, long + [1, 2], prompt: 101)
        #expect(next.cached == 96 && next.from == 1)
        let other = read(&table, 3, Array(long.prefix(50)), prompt: 50)
        #expect(other.cached == 32 && other.from == 0)
    }

    @Test func `no state is taken where pages are not full or known`() {
        var table = table(snapshots: 2)
        _ = table.begin(sequence: 1, root: root, tokens: tokens(40), most: 39)
        let done = table.extend(sequence: 1, to: 40)
        #expect(done)
        let unknown = table.keepState(sequence: 1, computed: 32, isAnswer: false)
        table.publish(sequence: 1, tokens: tokens(40), computed: 32)
        let begun = table.keepState(sequence: 1, computed: 33, isAnswer: false)
        let none = table.keepState(sequence: 1, computed: 0, isAnswer: false)
        let other = table.keepState(sequence: 2, computed: 32, isAnswer: false)
        #expect(unknown == nil && begun == nil && none == nil && other == nil)
        let kept = table.keepState(sequence: 1, computed: 32, isAnswer: false)
        let again = table.keepState(sequence: 1, computed: 32, isAnswer: false)
        #expect(kept == 0 && again == nil && table.emptyStates == [1])
    }

    @Test func `the state used longest ago makes room, and goes with its page`() {
        var table = table(snapshots: 2, pages: 8)
        _ = read(&table, 1, tokens(33), prompt: 33)
        _ = read(&table, 2, tokens(33, seed: 1), prompt: 33)
        #expect(table.emptyStates.isEmpty)
        // The first one is used again, so that the second one goes.
        #expect(read(&table, 3, tokens(33), prompt: 33).cached == 32)
        _ = read(&table, 4, tokens(33, seed: 2), prompt: 33)
        #expect(read(&table, 5, tokens(33, seed: 1), prompt: 33).cached == 0)
        table.forget()
        #expect(table.emptyStates.count == 2)
        _ = read(&table, 6, tokens(33), prompt: 33)
        #expect(table.emptyStates.count == 1)
        let cold = table.coolDown(unusedSince: .now)
        #expect(!cold.isEmpty && table.emptyStates.count == 2)
        #expect(read(&table, 7, tokens(33), prompt: 33).cached == 0)
    }

    @Test func `without places nothing is shared`() {
        var table = table(snapshots: 0)
        #expect(read(&table, 1, tokens(40), prompt: 40).places == [nil])
        #expect(read(&table, 2, tokens(40), prompt: 40).cached == 0)
    }
}
