// SPDX-License-Identifier: Apache-2.0
// Where the weights of a decoder layer lie in its file, and which of them are experts'.
import EftFormats
import EftNN
import EftTensor

/// Which linear layers of a decoder layer, in the order of the computation, are its experts'.
package struct ExpertLayers: Sendable, Hashable {
    /// The first of them.
    package let first: Int
    /// Linear layers of an expert.
    package let each: Int
    /// Experts.
    package let count: Int
    /// Experts that a row chooses.
    package let perRow: Int

    /// All of them.
    package var linears: Range<Int> { first..<first + count * each }

    /// Those of an expert.
    package func linears(of expert: Int) -> Range<Int> {
        first + expert * each..<first + (expert + 1) * each
    }
}

extension DecoderDescription {
    /// Which linear layers of a decoder layer are its experts'; nil where it has none.
    package func experts(layer: Int) -> ExpertLayers? {
        shape(layer: layer).mixture.map {
            // The router stands before them.
            ExpertLayers(
                first: attentionRoles(layer: layer).count + 1, each: mlpRoles.count,
                count: $0.experts, perRow: $0.expertsPerRow)
        }
    }
}

/// The record of one decoder layer: the records of its linear layers, one after the other. Each expert begins at a page, and so does
/// what stands behind the last one, so that an expert can be read alone.
package struct LayerRecord: Sendable, Hashable {
    /// Layouts of the linear layers, in the order of the computation.
    package let layouts: [WeightLayout]
    /// Where each one's record begins.
    package let offsets: [Int]
    /// Bytes of the record, a multiple of what direct reads ask for.
    package let byteCount: Int
    /// Which of the linear layers are experts'; nil where there are none.
    package let experts: ExpertLayers?
    private let expertsEnd: Int

    /// The record of layers of given layouts.
    package init(_ layouts: some Sequence<WeightLayout>, experts: ExpertLayers? = nil) {
        self.layouts = Array(layouts)
        self.experts = experts
        let page = DirectFile.alignment
        var (offsets, end, expertsEnd) = ([Int](), 0, 0)
        for (index, layout) in self.layouts.enumerated() {
            if let experts, index >= experts.first, index <= experts.linears.upperBound,
                (index - experts.first) % experts.each == 0
            {
                end = roundUp(end, to: page)
            }
            offsets.append(end)
            end += WeightRecord(layout).byteCount
            if index + 1 == experts?.linears.upperBound { expertsEnd = roundUp(end, to: page) }
        }
        self.offsets = offsets
        self.expertsEnd = expertsEnd
        byteCount = roundUp(end, to: page)
    }

    /// Where the record of an expert lies: whole pages.
    package func bytes(ofExpert expert: Int) -> Range<Int> {
        guard let experts, expert >= 0, expert < experts.count else { return 0..<0 }
        let own = experts.linears(of: expert)
        let end = expert + 1 < experts.count ? offsets[own.upperBound] : expertsEnd
        return offsets[own.lowerBound]..<end
    }

    /// Bytes of the largest expert.
    package var expertBytes: Int {
        (0..<(experts?.count ?? 0)).reduce(0) { max($0, bytes(ofExpert: $1).count) }
    }

    /// Bytes in memory of the weights of all experts.
    package var expertWeightBytes: Int {
        experts.map { layouts[$0.linears].reduce(0) { $0 + $1.byteCount } } ?? 0
    }

    /// Bytes of the checksums of all experts, which stand behind the record: whole pages.
    var tableBytes: Int { experts.map { roundUp(8 * $0.count, to: DirectFile.alignment) } ?? 0 }

    /// Bytes of the file that holds the record (`PanelFile`).
    package var fileBytes: Int { byteCount + tableBytes + PanelFile.footerBytes }
}
