// SPDX-License-Identifier: Apache-2.0
// Quantizing the embedding, before the layers: they see what it becomes.
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor

/// Quantizes the embedding, which is the head too where they are tied.
///
/// An embedding's own error is the same wherever it lies: its Hessian is the identity. As a head it is rounded for the
/// states behind the last layer, on a few rows of the unquantized model. A tied one is rounded for the sum of both.
struct EmbeddingStage {
    /// What the names of the states' files begin with.
    static let stem = "embedding_states-"
    /// Rows for which a shared embedding is rounded, and their tokens at most.
    private static let rowCount = 8
    private static let rowLength = 512
    /// The identity's weight beside the mean of the head's diagonal.
    private static let ownShare: Float = 0.1

    private let job: QuantizeJob

    init(_ job: QuantizeJob) { self.job = job }

    /// Quantizes the embedding to the work folder.
    /// - Throws: `ConversionError`, `FormatError`, `TensorError`, and what `advance` throws.
    func quantize(advance: CalibrationStage.Advance) throws -> QuantizeReport.Linear {
        guard let target = job.plan.embedding else {
            preconditionFailure("the embedding is not to be quantized")
        }
        let hessian: Hessian
        if job.plan.sharesEmbedding {
            hessian = try observeHead(advance)
            hessian.addIdentity(share: EmbeddingStage.ownShare)
        } else {
            hessian = try Hessian(size: target.inputs, ledger: job.backend.ledger)
            hessian.addIdentity(share: 1)
        }
        let recipe = job.plan.options.rounding
        try hessian.factor(module: target.name, recipe: recipe, backend: job.backend)
        let linear = try LinearQuantizer(
            checkpoint: job.checkpoint, folder: job.work.outTensors, recipe: recipe,
            backend: job.backend
        ).quantize(target, hessian: hessian)
        try advance(target.name, target.inputs * target.outputs)
        return linear
    }

    /// Runs the unquantized model, for the Hessian of what the head sees.
    private func observeHead(_ advance: CalibrationStage.Advance) throws -> Hessian {
        let model = job.folder.description
        let selected = job.calibration.selecting(
            EmbeddingStage.rowCount, length: EmbeddingStage.rowLength, spread: true)
        let rows = try LayerCalibration(job, rows: selected, stem: EmbeddingStage.stem)
        try rows.embed(selected)
        for index in 0..<model.layers {
            try rows.carry(index, through: rows.original(index)) { _, _ in }
            try job.work.removeStates(prefix: EmbeddingStage.stem, except: index + 1)
            try advance(model.layerName(index) + ": for the embedding", 0)
        }
        let hessian = try rows.collectHead()
        try job.work.removeStates(prefix: EmbeddingStage.stem, except: nil)
        return hessian
    }
}
