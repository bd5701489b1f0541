// SPDX-License-Identifier: Apache-2.0
// Scratch memory of a decoder's products, stated before it is taken.
import EftNN
import EftTensor

/// What the products of a decoder, or of the part of it on one device, need as scratch memory.
package struct DecoderScratch {
    /// Layouts of the linear layers inside the decoder layers; repeated ones count once.
    package var linears: Set<WeightLayout>
    /// Layout of the head; nil on a device that has none.
    package var head: WeightLayout?
    /// Most rows of a batch.
    package var rows: Int
    /// Most rows that the head sees at once.
    package var headRows: Int
    /// The widest of the adapters.
    package var adapters: AdapterWidths
    /// Whether the head has an adapter.
    package var adaptsHead = false
    /// Whether there is a backward pass, and whether it reaches the weights themselves.
    package var training: Training

    /// How far the backward pass goes.
    package enum Training: Sendable, Hashable {
        case none
        case adapters
        /// Reaches the head's weight too.
        case adaptersAndHead
        /// Reaches all weights.
        case full
    }

    /// States a need.
    package init(
        linears: some Sequence<WeightLayout>, head: WeightLayout?, rows: Int, headRows: Int,
        adapters: AdapterWidths = AdapterWidths(), training: Training = .none
    ) {
        self.linears = Set(linears)
        self.head = head
        self.rows = rows
        self.headRows = headRows
        self.adapters = adapters
        self.training = training
    }

    /// The need of a part of a decoder with weights of given layouts.
    package init(
        _ layouts: DecoderLayouts, part: DecoderPart, rows: Int, headRows: Int,
        adapters: AdapterWidths = AdapterWidths(), training: Training = .none
    ) {
        self.init(
            linears: layouts.linears(of: part.layers),
            head: part.holdsHead ? layouts.head : nil, rows: rows, headRows: headRows,
            adapters: adapters, training: training)
    }

    /// Bytes on a device.
    package func byteCount(on backend: any Backend) -> Int {
        let backward = training != .none
        var most =
            head.map { backend.scratchBytes(for: $0, rows: headRows, backward: backward) } ?? 0
        for layout in linears {
            let (k, n) = (layout.inputs, layout.outputs)
            most = max(most, backend.scratchBytes(for: layout, rows: rows, backward: backward))
            var products: [(m: Int, n: Int, k: Int)] = []
            let rank = adapters.rank
            if rank > 0 { products += [(rows, rank, k), (rows, n, rank)] }
            if rank > 0, backward {
                products += [(rows, rank, n), (rank, k, rows), (n, rank, rows), (rows, k, rank)]
            }
            if adapters.scaledOutputs > 0 {
                // Norms of adapted rows, in full precision.
                products += [(rank, rank, k), (rank, n, rank)]
                most = max(
                    most,
                    backend.inFullPrecision.scratchBytes(for: layout, rows: rank, backward: false))
            }
            if training == .full { products.append((k, n, rows)) }
            for product in products {
                most = max(
                    most, backend.gemmScratchBytes(m: product.m, n: product.n, k: product.k))
            }
        }
        let adapterRank = adapters.rank
        if let head, adaptsHead, adapterRank > 0 {
            var products = [
                (headRows, adapterRank, head.inputs), (headRows, head.outputs, adapterRank),
            ]
            if backward {
                products += [
                    (headRows, adapterRank, head.outputs), (adapterRank, head.inputs, headRows),
                    (head.outputs, adapterRank, headRows), (headRows, head.inputs, adapterRank),
                ]
            }
            for (m, n, k) in products {
                most = max(most, backend.gemmScratchBytes(m: m, n: n, k: k))
            }
        }
        if training == .full || training == .adaptersAndHead, let head {
            most = max(
                most, backend.gemmScratchBytes(m: head.inputs, n: head.outputs, k: headRows))
        }
        return most
    }
}
