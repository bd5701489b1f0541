// SPDX-License-Identifier: Apache-2.0
// Translation edit rate (Snover et al. 2006): words inserted, deleted, replaced, and runs of words moved, as Tercom and sacrebleu
// count them.

/// Counts the edits that make an answer into its reference.
///
/// Runs of words are moved one at a time, each time the one that spares most of the other edits, until none does.
struct TranslationEdits {
    /// A word by its code points: strings of Swift are the same where accents are written in another way.
    typealias Word = [Unicode.Scalar]

    /// Words of a run that is moved at most, and how far apart its two places may be.
    private static let (longestRun, farthest) = (10, 50)
    /// Moves that are tried for a sentence at most.
    private static let mostTrials = 1000

    /// Words of the answer as it is after the moves so far.
    private var answer: [Int]
    private let reference: [Int]
    private var trials = 0

    /// The edits between two sentences, given by their words.
    static func count(_ answer: [Word], _ reference: [Word]) -> Int {
        guard !reference.isEmpty else { return answer.count }
        var numbers: [Word: Int] = [:]
        func numbered(_ words: [Word]) -> [Int] {
            words.map { word in
                let number = numbers[word] ?? numbers.count
                numbers[word] = number
                return number
            }
        }
        var edits = TranslationEdits(answer: numbered(answer), reference: numbered(reference))
        return edits.run()
    }

    /// Lower case, cut at white space.
    static func words(_ text: String) -> [Word] {
        text.lowercased().unicodeScalars.split(whereSeparator: WordTokenizer.isSpace)
            .map(Array.init)
    }

    private init(answer: [Int], reference: [Int]) {
        self.answer = answer
        self.reference = reference
    }

    private mutating func run() -> Int {
        var moves = 0
        // Where the trials end, what they found is not used.
        while let better = bestMove(), trials < Self.mostTrials {
            answer = better
            moves += 1
        }
        return moves + EditTable(answer, reference).distance
    }

    /// A run of words that stands in the answer and elsewhere in the reference.
    private struct Run {
        var inAnswer: Int
        var inReference: Int
        var length: Int
    }

    /// How good a move is: the edits that it spares; then a longer run, one further left, a place further left.
    private struct Rank: Comparable {
        var spared: Int
        var length: Int
        var start: Int
        var target: Int

        static func < (a: Rank, b: Rank) -> Bool {
            (a.spared, a.length, -a.start, -a.target) < (b.spared, b.length, -b.start, -b.target)
        }
    }

    /// The answer after the best move; nil when none spares an edit.
    private mutating func bestMove() -> [Int]? {
        let table = EditTable(answer, reference)
        let alignment = Alignment(table.operations, reference.count)
        var best: (rank: Rank, words: [Int])?
        search: for start in answer.indices {
            for place in reference.indices where abs(place - start) <= Self.farthest {
                for length in 1...Self.longestRun {
                    guard start + length <= answer.count, place + length <= reference.count,
                        answer[start + length - 1] == reference[place + length - 1]
                    else { break }
                    let run = Run(inAnswer: start, inReference: place, length: length)
                    guard alignment.mayMove(run) else { continue }
                    for target in alignment.targets(of: run) {
                        let words = moved(run, to: target)
                        let spared = table.distance - EditTable(words, reference).distance
                        let rank = Rank(
                            spared: spared, length: length, start: start, target: target)
                        trials += 1
                        if best.map({ $0.rank < rank }) ?? true { best = (rank, words) }
                    }
                    if trials >= Self.mostTrials { break search }
                }
            }
        }
        guard let best, best.rank.spared > 0 else { return nil }
        return best.words
    }

    /// The answer with a run put before the word at `target`, which is counted in the answer as it stands.
    private func moved(_ run: Run, to target: Int) -> [Int] {
        let (start, end) = (run.inAnswer, run.inAnswer + run.length)
        let words = answer[start..<end]
        var rest = Array(answer[..<start]) + answer[end...]
        // Inside the run, the target counts the words that follow it.
        let place = target < start ? target : target > end ? target - run.length : target
        rest.insert(contentsOf: words, at: min(place, rest.count))
        return rest
    }

    /// Which words of the two sentences belong together.
    private struct Alignment {
        /// For each word of the reference the last word of the answer up to it; -1 for none.
        private var places: [Int] = []
        private var isWrongInAnswer: [Bool] = []
        private var isWrongInReference: [Bool] = []

        init(_ operations: [EditTable.Operation], _ count: Int) {
            var place = -1
            for operation in operations {
                let isWrong = operation != .keep
                if operation != .insert {
                    place += 1
                    isWrongInAnswer.append(isWrong)
                }
                if operation != .delete {
                    places.append(place)
                    isWrongInReference.append(isWrong)
                }
            }
        }

        /// Whether both places of a run hold something wrong, and it would not be moved into itself.
        func mayMove(_ run: Run) -> Bool {
            let mine = run.inAnswer..<run.inAnswer + run.length
            let theirs = run.inReference..<run.inReference + run.length
            return isWrongInAnswer[mine].contains(true)
                && isWrongInReference[theirs].contains(true)
                && !mine.contains(places[run.inReference])
        }

        /// The places to which a run is tried to be moved: behind what its words in the reference, and the word before
        /// them, are aligned with.
        func targets(of run: Run) -> [Int] {
            var targets: [Int] = []
            for offset in -1..<run.length {
                let word = run.inReference + offset
                let target = word < 0 ? 0 : places[word] + 1
                if targets.last != target { targets.append(target) }
            }
            return targets
        }
    }
}

/// The table of edit distances between the beginnings of two sentences, near its diagonal.
private struct EditTable {
    /// An edit of the answer.
    enum Operation: UInt8 {
        case keep
        case replace
        case insert
        case delete
    }

    /// Cells on each side of the diagonal.
    private static let beam = 25
    private static let unreachable = Int.max / 2

    /// The edits in all.
    let distance: Int
    /// The edits in their order.
    let operations: [Operation]

    init(_ answer: [Int], _ reference: [Int]) {
        let width = reference.count + 1
        // Costs of the row before and of this one; what was done stays for all rows.
        var above = [Int](0..<width)
        var costs = above
        var taken = [Operation](repeating: .insert, count: (answer.count + 1) * width)
        let slope = answer.isEmpty ? 1 : Double(reference.count) / Double(answer.count)
        let reach =
            Double(Self.beam) < slope / 2
            ? Int((slope / 2 + Double(Self.beam)).rounded(.up)) : Self.beam
        for row in 1..<max(1, answer.count + 1) {
            swap(&above, &costs)
            for column in 0..<width { costs[column] = Self.unreachable }
            let diagonal = Int((Double(row) * slope).rounded(.down))
            let first = max(0, diagonal - reach)
            let end = row == answer.count ? width : min(width, diagonal + reach)
            for column in first..<max(first, end) {
                func consider(_ value: Int, _ operation: Operation) {
                    guard value < costs[column] else { return }
                    costs[column] = value
                    taken[row * width + column] = operation
                }
                guard column > 0 else {
                    consider(above[0] + 1, .delete)
                    continue
                }
                let isSame = answer[row - 1] == reference[column - 1]
                consider(above[column - 1] + (isSame ? 0 : 1), isSame ? .keep : .replace)
                consider(above[column] + 1, .delete)
                consider(costs[column - 1] + 1, .insert)
            }
        }
        distance = costs[width - 1]
        operations = Self.trace(taken, rows: answer.count, width: width)
    }

    /// The way back from the last cell.
    private static func trace(_ taken: [Operation], rows: Int, width: Int) -> [Operation] {
        var (row, column) = (rows, width - 1)
        var operations: [Operation] = []
        while row > 0 || column > 0 {
            let operation: Operation =
                row == 0 ? .insert : column == 0 ? .delete : taken[row * width + column]
            operations.append(operation)
            if operation != .insert { row -= 1 }
            if operation != .delete { column -= 1 }
        }
        return operations.reversed()
    }
}
