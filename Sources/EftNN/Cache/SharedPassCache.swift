// SPDX-License-Identifier: Apache-2.0
// The pages of a pass, of which sequences may share the first ones.
import EftTensor

/// Pages that live for one layer of one pass, given to sequences by a table: a sequence that goes on from another one has
/// that one's full pages before its own.
package final class SharedPassCache: KVCache {
    package var kvType: KVType { pages.kvType }
    private let pages: SplitPassCache
    private let table: [[Int]]

    /// Gives pages to sequences.
    /// - Parameters:
    ///   - pages: where they stand.
    ///   - table: for each sequence the numbers of its pages, from position 0 to its last one.
    package init(_ pages: SplitPassCache, table: [[Int]]) {
        self.pages = pages
        self.table = table
    }

    package func attentionRuns(layer: Int, batch: DecoderBatch) -> [AttentionRun] {
        batch.runs.map { run in
            let needed = pageCount(tokens: run.firstPosition + run.rows.count)
            precondition(table[run.sequence].count >= needed, "a sequence with too few pages")
            return AttentionRun(
                rows: run.rows, firstPosition: run.firstPosition,
                pages: pages[layer].list(table[run.sequence]))
        }
    }
}
