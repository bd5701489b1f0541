// SPDX-License-Identifier: Apache-2.0
// A tensor of a GGUF file under Hugging Face's name, as parts of what the file stores.

/// A tensor in Hugging Face's form: rows of stored ones, perhaps in another order.
package struct GGUFView: Sendable, Hashable {
    /// A stored tensor.
    package struct Source: Sendable, Hashable {
        /// What the file says about it.
        package let tensor: GGUFTensor
        /// The file of the model that stores it, counted from 0.
        package let part: Int

        /// Where a row of so many numbers lies in its file.
        package func place(ofRow row: Int, columns: Int) -> Range<Int> {
            let bytes = columns / tensor.type.blockSize * tensor.type.blockBytes
            let start = tensor.bytes.lowerBound + row * bytes
            return start..<start + bytes
        }
    }

    /// Rows that follow each other in the view, and lie in one stored tensor at equal distances.
    package struct Run: Sendable, Hashable {
        /// Which of the sources.
        package var source = 0
        /// Where the first of them lies: a row, or a column of a matrix.
        package var first: Int
        /// From each to the next.
        package var step = 1
        package var count: Int
        /// The first row of the stored matrix whose columns they are; nil for rows.
        package var turnedFrom: Int?
    }

    /// What is done to each stored number.
    package enum Change: Sendable, Hashable {
        case none
        case plus(Float)
        /// The logarithm of what is stored negated.
        case logarithm
    }

    /// The name in Hugging Face's form.
    package let name: String
    /// Extents, outermost first.
    package let dims: [Int]
    /// Where its rows are stored.
    package let sources: [Source]
    /// All rows, in their order.
    package let runs: [Run]
    /// Numbers of a row.
    package let columns: Int
    /// What is done to each number.
    package var change = Change.none
    /// Where the numbers of a row lie in a stored row, in their order; empty where they lie so.
    package var columnRuns: [Range<Int>] = []
    /// Whether rows are stored as neighbours rotate together in heads whose width the file does not say; such rows
    /// cannot be read before `of(headDim:)`.
    package var hasUnknownHeads = false

    /// Rows.
    package var rows: Int { runs.reduce(0) { $0 + $1.count } }

    /// The type of all sources; nil where they differ, and where numbers of a row do not lie together.
    package var type: GGUFTensorType? {
        guard let first = sources.first?.tensor.type, columnRuns.isEmpty,
            sources.allSatisfy({ $0.tensor.type == first }),
            runs.allSatisfy({ $0.turnedFrom == nil })
        else { return nil }
        return first
    }

    /// The tensor that holds it whole and in order; nil where there is no such tensor.
    package var whole: Source? {
        guard runs.count == 1, runs[0].step == 1, type != nil, !hasUnknownHeads else { return nil }
        return sources[runs[0].source]
    }

    /// Hands out the parts of runs that a range of rows lies in.
    /// - Parameter body: gets a run, which of its rows are meant, and the first of them counted in the view.
    package func forEachRun<Failure: Error>(
        in rows: Range<Int>,
        _ body: (_ run: Run, _ part: Range<Int>, _ row: Int) throws(Failure) -> Void
    ) throws(Failure) {
        var start = 0
        for run in runs {
            if start >= rows.upperBound { return }
            let part = rows.clamped(to: start..<start + run.count)
            if !part.isEmpty {
                try body(run, part.lowerBound - start..<part.upperBound - start, part.lowerBound)
            }
            start += run.count
        }
    }

    /// The view with heads of a width where it was not known; nil when the rows are no whole heads.
    package func of(headDim: Int) -> GGUFView? {
        guard hasUnknownHeads, let run = runs.first, runs.count == 1 else { return self }
        guard headDim > 0, headDim % 2 == 0, rows % headDim == 0 else { return nil }
        return GGUFView(
            name: name, dims: dims, sources: sources,
            runs: Run.halves(first: run.first, count: run.count, headDim: headDim),
            columns: columns, change: change)
    }
}

extension GGUFView.Run {
    /// Rows of heads that are stored as neighbours rotate together: number j of a half of a head lies at 2j, or at 2j + 1 for
    /// the second half.
    static func halves(first: Int, count: Int, headDim: Int) -> [GGUFView.Run] {
        (0..<count / headDim * 2).map { half in
            GGUFView.Run(
                first: first + half / 2 * headDim + half % 2, step: 2, count: headDim / 2)
        }
    }
}
