// SPDX-License-Identifier: Apache-2.0
// The memory of a forward pass, stated before it is taken.
import EftNN
import EftTensor

/// What a forward pass needs besides weights and cache.
package struct DecoderWorkspaceNeed: Sendable, Hashable {
    /// Most rows of a batch.
    package var rows: Int
    /// Most rows of logits asked for at once; 0 when only losses are computed.
    package var logitRows: Int
    /// The widest of the adapters.
    package var adapters: AdapterWidths
    /// Whether a backward pass follows.
    package var backward: Bool
    /// When the memory becomes resident: on use where a pass may fill few of the rows.
    package var residency = Buffer.Residency.atOnce

    /// States a need.
    package init(
        rows: Int, logitRows: Int, adapters: AdapterWidths = AdapterWidths(),
        backward: Bool = false
    ) {
        self.rows = rows
        self.logitRows = logitRows
        self.adapters = adapters
        self.backward = backward
    }

    var adapterNeed: AdapterScratch.Need {
        AdapterScratch.Need(rows: rows, widths: adapters, backward: backward)
    }

    /// Bytes of activations that the workspace will take on the device of a part.
    package func byteCount(_ description: DecoderDescription, part: DecoderPart) -> Int {
        guard !part.isEmpty else { return 0 }
        let shape = description.shape
        let logits = part.holdsHead ? logitRows * (shape.hidden + description.vocabulary) : 0
        let floats = rows * (shape.hidden + description.rotaryWidth) + logits
        return floats * 4 + adapterNeed.byteCount
            + LayerActivations.byteCount(rows: rows, shape: shape, backward: backward)
    }
}

/// Matrices of one device that every pass fills again.
package final class DeviceWorkspace: Sendable {
    /// The device.
    let backend: any Backend
    let hidden: Matrix
    let rotations: [RotaryTables]
    let activations: LayerActivations
    let adapterScratch: AdapterScratch

    fileprivate init(
        _ need: DecoderWorkspaceNeed, _ description: DecoderDescription, backend: any Backend
    ) throws(TensorError) {
        let (ledger, shape) = (backend.ledger, description.shape)
        self.backend = backend
        hidden = try Matrix(
            rows: need.rows, columns: shape.hidden, ledger: ledger, residency: need.residency)
        var rotations: [RotaryTables] = []
        for rotary in description.rotaries {
            rotations.append(try rotary.tables(rows: need.rows, ledger: ledger))
        }
        self.rotations = rotations
        activations = try LayerActivations(
            rows: need.rows, shape: shape, backward: need.backward, ledger: ledger,
            residency: need.residency)
        adapterScratch = try AdapterScratch(backend: backend, need: need.adapterNeed)
    }

    /// Fills in the rotations of a batch's positions.
    func fillPositions(_ batch: DecoderBatch, _ rotaries: [RotaryEmbedding]) {
        for (rotary, tables) in zip(rotaries, rotations) {
            for run in batch.runs {
                rotary.fill(
                    tables, rows: run.rows, firstPosition: run.firstPosition, length: run.length)
            }
        }
    }
}

/// Matrices that every pass of a decoder fills again, on all its devices.
package final class DecoderWorkspace: Sendable {
    /// Most rows of a batch.
    package let rows: Int
    /// Rows of hidden states whose logits are asked for, on the head's device.
    let selected: Matrix
    /// Their logits.
    let logits: Matrix
    private let places: [DeviceWorkspace?]

    /// Takes the memory on the devices of a decoder.
    /// - Throws: `TensorError` when it does not fit a ledger.
    package convenience init(
        _ need: DecoderWorkspaceNeed, decoder: Decoder
    ) throws(TensorError) {
        try self.init(
            need, description: decoder.description, devices: decoder.devices, parts: decoder.parts)
    }

    /// Takes the memory on one device.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package convenience init(
        _ need: DecoderWorkspaceNeed, description: DecoderDescription, backend: any Backend
    ) throws(TensorError) {
        try self.init(
            need, description: description, devices: [backend], parts: [description.wholePart])
    }

    /// Takes the memory on devices that hold parts of a decoder.
    /// - Throws: `TensorError` when it does not fit a ledger.
    package init(
        _ need: DecoderWorkspaceNeed, description: DecoderDescription, devices: [any Backend],
        parts: [DecoderPart]
    ) throws(TensorError) {
        rows = need.rows
        var places: [DeviceWorkspace?] = []
        for (device, part) in zip(devices, parts) {
            places.append(
                part.isEmpty
                    ? nil
                    : try DeviceWorkspace(need, description, backend: device))
        }
        self.places = places
        let head = devices[parts.firstIndex(where: \.holdsHead) ?? 0].ledger
        selected = try Matrix(
            rows: need.logitRows, columns: description.shape.hidden, ledger: head,
            residency: need.residency)
        logits = try Matrix(
            rows: need.logitRows, columns: description.vocabulary, ledger: head,
            residency: need.residency)
    }

    /// The matrices of a device that holds layers.
    subscript(device: Int) -> DeviceWorkspace {
        guard let place = places[device] else {
            preconditionFailure("device \(device) holds no part of the decoder")
        }
        return place
    }
}
