// SPDX-License-Identifier: Apache-2.0
// What one decoder layer computes on the way, in memory that is stated before it is taken.
import EftTensor

/// The matrices that a layer fills in its forward pass.
///
/// One set serves every layer: generation writes over what is no longer needed, and training computes a layer again
/// before its backward pass (or holds a set for each layer, when memory allows).
package final class LayerActivations: Sendable {
    /// Whether a backward pass can follow.
    package let backward: Bool
    let normedInput: Matrix
    let query: Matrix
    let key: Matrix
    let value: Matrix
    let attention: Matrix
    let middle: Matrix
    let normedMiddle: Matrix
    let gate: Matrix
    let activated: Matrix
    /// The MLP's product beside the gate, or the only one of an MLP without a gate. See `up(rows:width:)`.
    private let up: Matrix
    /// The memory of queries, keys, values and attention's value, where it is the product's.
    private let lent: Buffer?
    let logSumExp: Matrix?
    /// The value of a product that holds queries, keys and values, or of one that holds both factors of an MLP: they take
    /// turns. In a backward pass its gradient.
    let fused: Matrix?
    /// The values of attention and of what follows it, where they are not added at once.
    let attentionValue: Matrix?
    let feedForwardValue: Matrix?
    /// The norm of either, where they are kept for a backward pass.
    let normedValue: Matrix?
    /// Queries and keys before their heads are normed, for a backward pass through that norm.
    let plainHeads: (query: Matrix, key: Matrix)?
    /// What latent attention needs.
    let latent: LatentActivations?
    /// What linear attention needs.
    let linear: LinearActivations?
    /// What a short convolution needs.
    let convolution: ShortConvolutionActivations?
    /// What a state-space layer needs.
    let space: StateSpaceActivations?
    /// What attention with weighed values needs.
    let gated: GatedValues?
    /// What a mixture of experts needs; one expert computes at a time.
    let mixture: MixtureActivations?

    /// Where queries and keys stand before their heads are normed: places of their own when a backward pass follows.
    func unnormedHeads(_ rows: Range<Int>) -> (query: Matrix, key: Matrix) {
        let heads = plainHeads ?? (query, key)
        return (heads.query.rows(rows), heads.key.rows(rows))
    }

    /// Where the value of a product that holds queries, keys and values stands.
    func fusedHeads(_ rows: Int, _ shape: DecoderShape) -> Matrix {
        whole(rows, shape.queryWidth + 2 * shape.keyWidth)
    }

    /// Where the value of a product that holds queries and gates stands.
    func gatedQueries(_ rows: Int, _ shape: DecoderShape) -> Matrix {
        whole(rows, 2 * shape.queryWidth)
    }

    /// Where the value of a product that holds both factors of an MLP of some width stands.
    func fusedFactors(_ rows: Int, width: Int) -> Matrix { whole(rows, 2 * width) }

    private func whole(_ rows: Int, _ columns: Int) -> Matrix {
        guard let fused else { preconditionFailure("no product holds several") }
        return fused.narrowed(rows: rows, columns: columns)
    }

    /// Where the product beside a gate stands, of an MLP of some width; in a pass that no backward pass follows, of as many
    /// rows as there is memory for.
    func up(rows: Int, width: Int) -> Matrix {
        guard let lent else { return up.narrowed(rows: rows, columns: width) }
        return Matrix(
            sharing: lent, rows: min(rows, max(lent.floatCount / width, 1)), columns: width)
    }

    /// All bytes for batches of at most `rows` rows.
    package static func byteCount(rows: Int, shape: DecoderShape, backward: Bool) -> Int {
        // Without a backward pass the last product's input takes the place of a factor that stands alone.
        let inner = shape.fusesGateUp ? 1 : shape.isGated && backward ? 2 : 1
        let heads = HeadMemory(rows: rows, shape, backward: backward).count
        let always =
            shape.hidden + shape.fusedWidth
            + inner * shape.widestMLP + (shape.hasBranch ? shape.hidden : 0)
        let plainHeads = shape.normsHeads ? shape.queryWidth + shape.keyWidth : 0
        let kept =
            backward
            ? (2 + (shape.hasBranch ? 1 : 0) + (shape.normsValues ? 1 : 0)) * shape.hidden
                + (shape.fusesGateUp ? 0 : shape.widestMLP) + plainHeads : 0
        let sums = backward || shape.hasSinks ? shape.heads : 0
        return (heads + rows * (always + kept + sums)) * 4
            + LatentActivations.byteCount(rows: rows, shape, backward: backward)
            + LinearActivations.byteCount(rows: rows, shape, backward: backward)
            + ShortConvolutionActivations.byteCount(rows: rows, shape, backward: backward)
            + StateSpaceActivations.byteCount(rows: rows, shape, backward: backward)
            + GatedValues.byteCount(rows: rows, shape, backward: backward)
            + (shape.mixture.map {
                MixtureActivations.byteCount(rows: rows, hidden: shape.hidden, $0)
            } ?? 0)
    }

    /// Allocates for batches of at most `rows` rows.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(
        rows: Int, shape: DecoderShape, backward: Bool, ledger: MemoryLedger?,
        residency: Buffer.Residency = .atOnce
    ) throws(TensorError) {
        self.backward = backward
        func matrix(_ columns: Int) throws(TensorError) -> Matrix {
            try Matrix(rows: rows, columns: columns, ledger: ledger, residency: residency)
        }
        normedInput = try matrix(shape.hidden)
        let heads = HeadMemory(rows: rows, shape, backward: backward)
        let memory = try Buffer(
            byteCount: heads.count * 4, ledger: ledger, purpose: .activations,
            residency: residency)
        (query, key) = (heads.query(memory), heads.key(memory))
        (value, attention) = (heads.value(memory), heads.attention(memory))
        lent = heads.isLent ? memory : nil
        up = try matrix(heads.isLent || shape.fusesGateUp ? 0 : shape.widestMLP)
        gate = shape.isGated && !shape.fusesGateUp ? try matrix(shape.widestMLP) : up
        logSumExp = backward || shape.hasSinks ? try matrix(shape.heads) : nil
        fused = shape.fusedWidth > 0 ? try matrix(shape.fusedWidth) : nil
        activated =
            backward || shape.fusesGateUp ? try matrix(shape.widestMLP) : gate
        attentionValue = shape.hasBranch ? try matrix(shape.hidden) : nil
        latent = try LatentActivations(
            rows: rows, shape, backward: backward, ledger: ledger, residency: residency)
        linear = try LinearActivations(
            rows: rows, shape, backward: backward, ledger: ledger, residency: residency)
        convolution = try ShortConvolutionActivations(
            rows: rows, shape, backward: backward, ledger: ledger, residency: residency)
        space = try StateSpaceActivations(
            rows: rows, shape, backward: backward, ledger: ledger, residency: residency)
        gated = try GatedValues(
            rows: rows, shape, attention: attention, backward: backward, ledger: ledger,
            residency: residency)
        if let shapeOfMixture = shape.mixture {
            mixture = try MixtureActivations(
                rows: rows, hidden: shape.hidden, shapeOfMixture, ledger: ledger)
        } else {
            mixture = nil
        }
        if backward {
            middle = try matrix(shape.hidden)
            normedMiddle = try matrix(shape.hidden)
            feedForwardValue = shape.hasBranch ? try matrix(shape.hidden) : nil
            normedValue = shape.normsValues ? try matrix(shape.hidden) : nil
            plainHeads =
                shape.normsHeads
                ? (try matrix(shape.queryWidth), try matrix(shape.keyWidth)) : nil
        } else {
            // Without a backward pass the MLP's input may replace the attention's, and its value the gate's.
            middle = normedInput
            normedMiddle = normedInput
            // Attention's value is added before the other's is there.
            feedForwardValue = attentionValue
            normedValue = nil
            plainHeads = nil
        }
    }
}

/// The memory of queries, keys, values and attention's value.
///
/// Without a backward pass nobody reads them once attention's value is added, so that the product beside an MLP's gate may
/// stand there; kernels that gate at once need no place for it.
private struct HeadMemory {
    /// Whether the product beside a gate stands there too.
    let isLent: Bool
    /// Numbers.
    let count: Int
    private let rows: Int
    private let shape: DecoderShape

    /// Fewest rows of the product for which there is memory, if batches have as many: weights are unpacked for each part.
    private static let leastRows = 64

    init(rows: Int, _ shape: DecoderShape, backward: Bool) {
        (self.rows, self.shape) = (rows, shape)
        isLent = !backward && shape.isGated && !shape.fusesGateUp
        let heads = 2 * rows * (shape.queryWidth + shape.keyWidth)
        let product = min(rows, HeadMemory.leastRows) * shape.widestMLP
        count = isLent ? max(heads, product) : heads
    }

    func query(_ memory: Buffer) -> Matrix { part(memory, shape.queryWidth, after: 0) }
    func key(_ memory: Buffer) -> Matrix { part(memory, shape.keyWidth, after: shape.queryWidth) }
    func value(_ memory: Buffer) -> Matrix {
        part(memory, shape.keyWidth, after: shape.queryWidth + shape.keyWidth)
    }
    func attention(_ memory: Buffer) -> Matrix {
        part(memory, shape.queryWidth, after: shape.queryWidth + 2 * shape.keyWidth)
    }

    private func part(_ memory: Buffer, _ columns: Int, after before: Int) -> Matrix {
        Matrix(sharing: memory, offset: rows * before, rows: rows, columns: columns)
    }
}

/// What a mixture of experts computes on the way.
final class MixtureActivations: Sendable {
    /// Logits of the router `[T][E]`; their gradient in the backward pass.
    let logits: Matrix
    /// Inputs of one expert.
    let input: Matrix
    /// Values of one expert; gradients of its values and inputs in the backward pass.
    let value: Matrix
    /// The logit of each row's weight of the shared expert `[T][1]`; its gradient in the backward pass.
    let sharedLogit: Matrix?

    static func byteCount(rows: Int, hidden: Int, _ shape: MixtureShape) -> Int {
        rows * (shape.experts + 2 * hidden + (shape.shared?.isWeighed == true ? 1 : 0)) * 4
    }

    init(
        rows: Int, hidden: Int, _ shape: MixtureShape, ledger: MemoryLedger?
    ) throws(TensorError) {
        logits = try Matrix(rows: rows, columns: shape.experts, ledger: ledger)
        // A row goes to an expert once at most.
        input = try Matrix(rows: rows, columns: hidden, ledger: ledger)
        value = try Matrix(rows: rows, columns: hidden, ledger: ledger)
        sharedLogit =
            shape.shared?.isWeighed == true
            ? try Matrix(rows: rows, columns: 1, ledger: ledger) : nil
    }
}

/// Gradients inside a layer, used again by every layer's backward pass.
package final class LayerGradients: Sendable {
    /// The gradient of a norm's value; free for others' use between layers.
    package let normed: Matrix
    let attention: Matrix
    let query: Matrix
    let activated: Matrix
    /// The gradient of a value that is not added at once.
    let value: Matrix?

    /// All bytes for batches of at most `rows` rows.
    package static func byteCount(rows: Int, shape: DecoderShape) -> Int {
        let values = shape.hasBranch ? shape.hidden : 0
        return rows * (shape.hidden + 2 * shape.queryWidth + shape.widestMLP + values) * 4
    }

    /// Allocates for batches of at most `rows` rows.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(rows: Int, shape: DecoderShape, ledger: MemoryLedger?) throws(TensorError) {
        normed = try Matrix(rows: rows, columns: shape.hidden, ledger: ledger)
        attention = try Matrix(rows: rows, columns: shape.queryWidth, ledger: ledger)
        query = try Matrix(rows: rows, columns: shape.queryWidth, ledger: ledger)
        activated = try Matrix(rows: rows, columns: shape.widestMLP, ledger: ledger)
        value =
            shape.hasBranch
            ? try Matrix(rows: rows, columns: shape.hidden, ledger: ledger) : nil
    }
}
