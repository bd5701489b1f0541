// SPDX-License-Identifier: Apache-2.0
// Which device holds what of a decoder, and how rows pass from one to the next.
import EftNN
import EftTensor

extension Decoder {
    /// The device of the embedding.
    package var embeddingDevice: Int { parts.firstIndex(where: \.holdsEmbedding) ?? 0 }

    /// The device of the last norm and the head.
    package var headDevice: Int { parts.firstIndex(where: \.holdsHead) ?? 0 }

    /// The device of a layer.
    package func device(ofLayer index: Int) -> Int {
        parts.firstIndex { $0.layers.contains(index) } ?? 0
    }

    /// The accounts of the devices of all layers.
    package var layerLedgers: [MemoryLedger] {
        layers.indices.map { devices[device(ofLayer: $0)].ledger }
    }

    /// All linear layers that may carry adapters, the head last, each with the account of its device.
    package var placedLinears: [(linear: Linear, ledger: MemoryLedger)] {
        let inside = zip(layers, layerLedgers).flatMap { layer, ledger in
            layer.linears.map { (linear: $0, ledger: ledger) }
        }
        return inside + [(head, devices[headDevice].ledger)]
    }

    /// Takes the scratch memory of all devices at once.
    /// - Parameter adapters: the widest of adapters that are yet to come; those loaded count anyway.
    /// - Throws: `TensorError` when it does not fit a ledger.
    package func reserveScratch(
        rows: Int, headRows: Int, adapters: AdapterWidths = AdapterWidths(),
        training: DecoderScratch.Training = .none
    ) throws(TensorError) {
        let widths = adapters | adapterWidths
        for (device, part) in parts.enumerated() where !part.isEmpty {
            let linears = part.layers.flatMap { layers[$0].linears.map(\.weight.layout) }
            var scratch = DecoderScratch(
                linears: linears, head: part.holdsHead ? head.weight.layout : nil, rows: rows,
                headRows: headRows, adapters: widths, training: training)
            scratch.adaptsHead = !head.adapters.isEmpty
            try devices[device].reserveScratch(scratch.byteCount(on: devices[device]))
        }
    }
}

extension Matrix {
    /// The same numbers in a matrix of another device; itself when the memory is the same.
    func moved(to target: Matrix) -> Matrix {
        if target.pointer != pointer { target.pointer.update(from: pointer, count: count) }
        return target
    }
}
