// SPDX-License-Identifier: Apache-2.0
// The calibration text that is used when none is given, and how rows are made of it.
import EftTensor

/// Text of many kinds for calibration, written for this project.
///
/// | part | what it is |
/// |---|---|
/// | prose, languages, code, markup, dialogue | the documents of the files beside this one |
/// | numbers | tables, sums and dates, made by `numbers` |
///
/// Rows of it are, in this order: all documents one after the other; rows of pieces of them in random order, so that
/// words stand behind words that they never stand behind otherwise; one row of random tokens, so that no input
/// feature is without any value.
package enum BuiltInText {
    /// What the text is called in `quantization_config`.
    package static let name = "(built-in)"

    /// All documents, kinds in turn, so that also a few rows hold all kinds.
    package static var documents: [String] {
        var kinds = [prose, code, languages, dialogue, markup, numbers]
        var documents: [String] = []
        while kinds.contains(where: { !$0.isEmpty }) {
            for kind in kinds.indices where !kinds[kind].isEmpty {
                documents.append(kinds[kind].removeFirst())
            }
        }
        return documents
    }

    /// Tokens of a piece of a mixed row.
    private static let pieceLength = 128
    /// Mixed rows for each row of documents.
    private static let mixedShare = 2
    private static let seed: UInt64 = 20_240_229

    /// Rows of tokens.
    /// - Parameters:
    ///   - rows: the most rows.
    ///   - vocabulary: random tokens are below it.
    ///   - encode: gives the tokens of a document, special ones that belong around it included.
    /// - Throws: what `encode` throws, and `ConversionError` (`usage`) for lengths that make no sense.
    package static func rows(
        _ rows: Int, length: Int, vocabulary: Int, encode: (String) throws -> [Int32]
    ) throws -> CalibrationRows {
        let documents = try documents.map(encode)
        let plain = try CalibrationRows(
            name: name, tokens: documents.flatMap { $0 }, rows: rows, length: length)
        var all = plain.rows
        // A text shorter than a row makes one short row, and no mixed ones.
        guard plain.longest == length else { return plain }
        var random = SplitMix64(seed: seed)
        let mixed = min(rows - all.count, mixedShare * all.count)
        for _ in 0..<max(0, mixed) {
            all.append(mixedRow(documents, length: length, &random))
        }
        if all.count < rows {
            let bound = UInt64(max(vocabulary, 1))
            all.append((0..<length).map { _ in Int32(clamping: random.next() % bound) })
        }
        return CalibrationRows(name: name, rows: all)
    }

    /// A row of pieces from anywhere.
    private static func mixedRow(
        _ documents: [[Int32]], length: Int, _ random: inout SplitMix64
    ) -> [Int32] {
        var row: [Int32] = []
        while row.count < length {
            let document = documents[Int(random.next() % UInt64(documents.count))]
            guard !document.isEmpty else { continue }
            let first = Int(random.next() % UInt64(document.count))
            row += document[first...].prefix(pieceLength)
        }
        return Array(row.prefix(length))
    }

    // MARK: Numbers

    /// Tables, sums, series and dates.
    private static var numbers: [String] {
        var random = SplitMix64(seed: seed ^ 1)
        func below(_ bound: UInt64) -> Int { Int(random.next() % bound) }
        var sums: [String] = []
        for _ in 0..<40 {
            let (a, b) = (below(900) + 12, below(90) + 3)
            sums.append("\(a) + \(b) = \(a + b); \(a) - \(b) = \(a - b)")
            sums.append("\(a) * \(b) = \(a * b); \(a) / \(b) = \(a / b) remainder \(a % b)")
        }
        var table = ["| year | units | price | revenue |", "|---|---:|---:|---:|"]
        for year in 1996..<2024 {
            let (units, price) = (below(9000) + 1000, below(90) + 10)
            table.append("| \(year) | \(units) | \(price).\(below(9))0 | \(units * price) |")
        }
        var series = ["Squares: " + (1...40).map { String($0 * $0) }.joined(separator: ", ")]
        series.append("Powers of two: " + (0...40).map { String(1 << $0) }.joined(separator: ", "))
        var primes: [Int] = []
        for number in 2..<500 where primes.allSatisfy({ number % $0 != 0 }) {
            primes.append(number)
        }
        series.append("Primes: " + primes.map(String.init).joined(separator: " "))
        for _ in 0..<24 {
            series.append(
                "20\(below(20) + 10)-0\(below(9) + 1)-\(below(18) + 10) \(below(14) + 10):\(below(50) + 10) "
                    + "id 0x\(String(random.next(), radix: 16)) amount -\(below(10000)).\(below(90) + 10) "
                    + "+49 30 \(below(9_000_000) + 1_000_000)")
        }
        return [sums, table, series].map { $0.joined(separator: "\n") }
    }
}
