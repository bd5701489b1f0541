// SPDX-License-Identifier: Apache-2.0
// How many pages each group of layers has: those that see all positions, and those of each window.
import EftTensor

/// Pages by groups of layers.
///
/// Layers that see all positions are the first group; it may have no layers, and still counts the pages of whole
/// sequences, by which contents are found. Layers with a window hold pages only as far back as the window reaches.
package struct PagePlan: Sendable, Hashable {
    /// Layers whose pages are held and given back together.
    package struct Group: Sendable, Hashable {
        /// Positions that a row of the layers sees; all when nil.
        package let window: Int?
        /// Pages of each layer.
        package let pages: Int
    }

    /// The groups, the one that sees all positions first.
    package private(set) var groups: [Group]
    /// The group of each layer; nil for layers without pages.
    package private(set) var layers: [Int?]

    /// A number of pages for each layer, whatever it sees.
    /// - Parameter isPaged: for each layer whether it has pages.
    package init(pages: Int, isPaged: [Bool]) {
        groups = [Group(window: nil, pages: pages)]
        layers = isPaged.map { $0 ? 0 : nil }
    }

    /// Pages for whole sequences, and fewer for layers with a window where that is enough.
    /// - Parameters:
    ///   - pages: of layers that see all positions, and most of the others.
    ///   - kinds: what each layer sees, and whether it has pages.
    ///   - demand: what sequences ask of a window at most.
    package init(pages: Int, kinds: [LayerKind], demand: WindowDemand) {
        self.init(pages: pages, isPaged: kinds.map { !$0.isLinear })
        for (layer, kind) in kinds.enumerated() {
            guard !kind.isLinear, let window = kind.window else { continue }
            let needed = demand.pages(window: window)
            guard needed < pages else { continue }
            let known = groups.firstIndex { $0.window == window }
            layers[layer] = known ?? groups.count
            if known == nil { groups.append(Group(window: window, pages: needed)) }
        }
    }

    /// Pages of the layers that see all positions.
    package var pages: Int { groups[0].pages }
    /// Pages of all groups, for which tables are kept.
    package var tablePages: Int { groups.reduce(0) { $0 + $1.pages } }

    /// Bytes of some layers' pages.
    package func byteCount(layers range: Range<Int>, pageBytes: Int) -> Int {
        layers[range].reduce(0) { sum, group in
            sum + (group.map { groups[$0].pages * pageBytes } ?? 0)
        }
    }
}

/// What sequences ask of layers with a window, between two passes and in one.
package struct WindowDemand: Sendable, Hashable {
    /// Most sequences at once.
    package var sequences: Int
    /// Most rows of a pass, of all sequences together.
    package var rows: Int
    /// Most rows of a sequence that are computed beside these before older pages are left.
    package var ahead: Int

    /// States a demand.
    package init(sequences: Int, rows: Int, ahead: Int = 0) {
        self.sequences = sequences
        self.rows = rows
        self.ahead = ahead
    }

    /// Pages that are always enough: for each sequence those that the first new row sees and a begun one at each end, those
    /// of the new rows, and a window more, so that the end of a prompt is still found when its answer has been long.
    package func pages(window: Int) -> Int {
        let (reach, overflow) = window.addingReportingOverflow(pageTokens - 3 + ahead)
        guard !overflow else { return .max }
        let each = pageCount(tokens: min(reach, Int.max - pageTokens)) + 1
        let (all, tooMany) = each.multipliedReportingOverflow(by: sequences + 1)
        return tooMany ? .max : all + pageCount(tokens: rows)
    }
}
