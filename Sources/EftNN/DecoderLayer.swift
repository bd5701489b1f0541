// SPDX-License-Identifier: Apache-2.0
// One layer of a decoder: attention and an MLP or a mixture of such, each added to the residual stream.
import EftTensor

/// One decoder layer, put together from parts that its model's description names.
///
/// Attention and what follows it each read the stream (through a norm in most models), and their values are added to it
/// (through another norm in some, times a factor in others), one after the other or both at once.
/// Changed only while a model is put together, hence unchecked.
package final class DecoderLayer: @unchecked Sendable {
    /// The layer's number, from 0.
    package let index: Int
    /// Extents and form, of all layers.
    package let shape: DecoderShape
    /// What is this layer's own.
    package let kind: LayerKind
    /// The norms of whole rows.
    package let rowNorms: LayerNorms
    /// The norms of queries and of keys, in models that have them.
    package let headNorms: HeadNorms?
    /// Queries, keys and values.
    package let projections: AttentionProjections
    package let output: Linear
    /// What attention's softmax counts besides, in models that have it.
    package let sinks: AttentionSinks?
    /// What follows attention.
    package private(set) var feedForward: FeedForward

    /// What follows attention in a layer.
    package enum FeedForward: Sendable {
        /// One MLP for all rows.
        case mlp(MLP)
        /// Experts among which each row chooses.
        case mixture(Mixture)

        /// The linear layers, in the order of the computation.
        package var linears: [Linear] {
            switch self {
            case .mlp(let mlp): mlp.linears
            case .mixture(let mixture): mixture.linears
            }
        }
    }

    /// Puts a layer together.
    package init(
        index: Int, shape: DecoderShape, kind: LayerKind, rowNorms: LayerNorms,
        headNorms: HeadNorms? = nil, projections: AttentionProjections, output: Linear,
        sinks: AttentionSinks? = nil, feedForward: FeedForward
    ) {
        precondition(shape.hasSinks == (sinks != nil), "sinks as the shape says")
        precondition(shape.normsHeads == (headNorms != nil), "norms of heads as the shape says")
        precondition(
            shape.normsValues == (rowNorms.attentionValue != nil)
                && shape.normsValues == (rowNorms.feedForwardValue != nil),
            "norms of values as the shape says")
        precondition(
            shape.mixer == nil || !(shape.hasSinks || shape.normsHeads || shape.gatesValues),
            "what keeps a state has neither scores nor keys")
        precondition(
            rowNorms.feedForward != nil || shape.hasBranch,
            "a value is added where its input stands")
        self.index = index
        self.shape = shape
        self.kind = kind
        self.rowNorms = rowNorms
        self.headNorms = headNorms
        self.projections = projections
        self.output = output
        self.sinks = sinks
        self.feedForward = feedForward
    }

    /// The linear layers, in the order of the computation.
    package var linears: [Linear] { projections.linears + [output] + feedForward.linears }
    /// Numbers that are neither linear layers nor norms, without sinks.
    package var vectors: [TrainedVector] { projections.vectors }
    /// All norms, in the order in which they are asked for when a layer is put together.
    package var norms: [Norm] {
        rowNorms.inOrder(heads: projections.norms + (headNorms?.weighted ?? []))
    }

    /// Sees the inputs of linear layers as they are computed; calibration collects them.
    package typealias Observer = (_ layers: [Linear], _ input: Matrix) throws -> Void

    /// Leaves it to a source to bring the layer's experts into memory.
    package func takeExperts(from source: any ExpertSource) {
        guard case .mixture(var mixture) = feedForward else {
            preconditionFailure("layer \(index) has no experts")
        }
        mixture.source = source
        feedForward = .mixture(mixture)
    }

    // MARK: Forward

    /// Computes the layer's value of x `[T][C]` into `out`, which may be x when no backward pass follows.
    package func forward(
        _ x: Matrix, into out: Matrix, _ state: LayerPass, observer: Observer? = nil
    ) throws {
        let acts = state.activations
        if shape.isParallel {
            try attend(x, state, observer)
            try addParallel(x, into: out, state, observer)
            return
        }
        let middle = acts.backward ? acts.middle.rows(0..<x.rows) : out
        try attend(x, into: middle, state, observer)
        try feedForward(middle, into: out, state, observer)
    }

    /// Attention with its residual, or what follows it with its own.
    package enum Half: Sendable {
        case attention, feedForward
    }

    /// Computes the value of one half of the layer of x `[T][C]` into `out`, which may be x. No backward pass can follow.
    /// Of a parallel layer both halves read the layer's input.
    package func forward(
        _ half: Half, _ x: Matrix, into out: Matrix, _ state: LayerPass
    ) throws {
        switch half {
        case .attention: try attend(x, into: out, state, nil)
        case .feedForward:
            normShared(x, state)
            try feedForward(x, into: out, state, nil)
        }
    }

    /// Computes the layer's value in place for the rows of x alone that are still to be seen by anyone, in ascending order:
    /// x becomes `[kept.count][C]`. Keys and values are written for all rows. No backward pass can follow.
    package func forwardLast(_ x: Matrix, keeping kept: [Int], _ state: LayerPass) throws {
        let acts = state.activations
        precondition(!acts.backward, "rows that are left out have no gradient")
        let (rows, keptRows) = (0..<x.rows, 0..<kept.count)
        let input = attentionInput(x, state)
        if try mixStates(input, state, nil) {
            guard !kept.isEmpty else { return }
            let values = outputInput(rows, state)
            values.pack(kept, of: values)
            x.pack(kept, of: x)
            return try finishLast(x.rows(keptRows), state.keeping(kept))
        }
        let (k, v) = (acts.key.rows(rows), acts.value.rows(rows))
        if case .apart(_, let key, let value) = projections {
            try Linear.forward([key, value], input, into: [k, v], state.pass)
        } else {
            let heads = HeadMatrices(query: acts.query.rows(rows), key: k, value: v)
            try project(input, into: heads, state)
        }
        finish(k, headNorms?.key, into: k, state)
        _ = writeKeysAndValues(rows, state)
        guard !kept.isEmpty else { return }
        let rest = state.keeping(kept)
        x.pack(kept, of: x)
        if input.pointer != x.pointer { input.pack(kept, of: input) }
        let (left, q) = (x.rows(keptRows), acts.query.rows(keptRows))
        if case .apart(let query, _, _) = projections {
            try projectQueries(query, input.rows(keptRows), into: q, rest)
        } else {
            q.pack(kept, of: acts.query)
        }
        finish(q, headNorms?.query, into: q, rest)
        temper(q, rest)
        try weigh(keptRows, runs(rest), rest, nil)
        try finishLast(left, rest)
    }

    /// Adds attention's value to the rows that are left, and what follows.
    private func finishLast(_ left: Matrix, _ rest: LayerPass) throws {
        if shape.isParallel {
            try projectBranch(0..<left.rows, rest)
            try addParallel(left, into: left, rest, nil)
        } else {
            try addAttention(left, into: left, rest)
            try feedForward(left, into: left, rest, nil)
        }
    }

    /// Shows an observer the inputs of all linear layers for x `[T][C]`, of a mixture's those of the router, which are the
    /// experts' too; an MLP's last product and a mixture's experts but for the shared one are not computed.
    /// - Parameter middle: `[T][C]` of memory; afterwards it holds what the second half reads.
    package func observe(
        _ x: Matrix, middle: Matrix, _ state: LayerPass, observer: @escaping Observer
    ) throws {
        if shape.isParallel {
            try attend(x, state, observer)
            copy(x, to: middle)
        } else {
            try attend(x, into: middle, state, observer)
        }
        let input = try prepareFeedForward(middle, state, observer)
        guard case .mixture(let mixture) = feedForward else { return }
        try mixture.shared?.observe(input, state.activations, state.pass, observer)
    }

    /// Shows an observer the inputs of one expert's linear layers for the rows that choose it.
    /// - Parameter middle: what the second half reads `[T][C]`.
    package func observe(
        expert: Int, _ middle: Matrix, _ state: LayerPass, observer: Observer
    ) throws {
        guard case .mixture(let mixture) = feedForward else { return }
        normShared(middle, state)
        let normed = try prepareFeedForward(middle, state, nil)
        try mixture.observe(expert: expert, normed, state.activations, state.pass, observer)
    }

    /// Computes what the backward pass needs of a forward pass that was made before: all but the layer's value.
    package func recompute(_ x: Matrix, _ state: LayerPass) throws {
        if shape.isParallel {
            try attend(x, state, nil)
            _ = try prepareFeedForward(x, state, nil)
            return
        }
        let middle = state.activations.middle.rows(0..<x.rows)
        try attend(x, into: middle, state, nil)
        let input = try prepareFeedForward(middle, state, nil)
        // The norm behind the value has a gradient of its own.
        if rowNorms.feedForwardValue != nil {
            try computeFeedForward(input, value(of: .feedForward, x.rows, state), state, nil)
        }
    }

    // MARK: Attention

    /// What queries, keys and values are computed from.
    func attentionInput(_ x: Matrix, _ state: LayerPass) -> Matrix {
        guard let norm = rowNorms.attention else { return x }
        let normed = state.activations.normedInput.rows(0..<x.rows)
        norm.forward(x, into: normed, state.pass.backend)
        return normed
    }

    /// Fills the norm that both halves of a parallel layer read, where the second one runs alone.
    func normShared(_ x: Matrix, _ state: LayerPass) {
        if shape.isParallel, rowNorms.feedForward == nil { _ = attentionInput(x, state) }
    }

    /// The input of attention's linear layers in a backward pass, after `recompute` or `forward`.
    func keptAttentionInput(_ x: Matrix, _ state: LayerPass) -> Matrix {
        rowNorms.attention == nil ? x : state.activations.normedInput.rows(0..<x.rows)
    }

    /// middle = x plus attention's value.
    private func attend(
        _ x: Matrix, into middle: Matrix, _ state: LayerPass, _ observer: Observer?
    ) throws {
        try weigh(x, state, observer)
        try addAttention(x, into: middle, state)
    }

    /// Attention's value of x in a place of its own, for a parallel layer.
    private func attend(_ x: Matrix, _ state: LayerPass, _ observer: Observer?) throws {
        try weigh(x, state, observer)
        try projectBranch(0..<x.rows, state)
    }

    /// Queries, keys and values of x, and what attention makes of them.
    func weigh(_ x: Matrix, _ state: LayerPass, _ observer: Observer?) throws {
        let (acts, rows) = (state.activations, 0..<x.rows)
        let input = attentionInput(x, state)
        if try mixStates(input, state, observer) { return }
        try observer?(projections.stages[0], input)
        let plain =
            headNorms == nil
            ? (query: acts.query.rows(rows), key: acts.key.rows(rows)) : acts.unnormedHeads(rows)
        let v = acts.value.rows(rows)
        try project(
            input, into: HeadMatrices(query: plain.query, key: plain.key, value: v), state,
            observer)
        finish(plain.query, headNorms?.query, into: acts.query.rows(rows), state)
        temper(acts.query.rows(rows), state)
        finish(plain.key, headNorms?.key, into: acts.key.rows(rows), state)
        try weigh(rows, writeKeysAndValues(rows, state), state, observer)
    }

    /// Norms and rotates heads of queries or keys.
    private func finish(_ plain: Matrix, _ norm: Norm?, into heads: Matrix, _ state: LayerPass) {
        if shape.normsRotatedHeads { rotate(plain, state, inverse: false) }
        norm?.forwardHeads(plain, into: heads, state.pass.backend)
        if !shape.normsRotatedHeads { rotate(heads, state, inverse: false) }
    }

    func rotate(_ heads: Matrix, _ state: LayerPass, inverse: Bool) {
        guard let rotary = kind.rotary else { return }
        state.pass.backend.rope(
            heads, headDim: shape.headDim, from: shape.still, state.rotations[rotary],
            inverse: inverse)
    }

    private func runs(_ state: LayerPass) -> [AttentionRun] {
        state.cache.attentionRuns(layer: index, batch: state.batch)
    }

    /// The attention's extents over pages of a type.
    func attention(_ type: KVType) -> AttentionShape {
        shape.attention(kvType: type, window: kind.window, isChunked: kind.isChunked)
    }

    /// Returns the runs of the batch.
    private func writeKeysAndValues(_ rows: Range<Int>, _ state: LayerPass) -> [AttentionRun] {
        let acts = state.activations
        let (k, v) = (acts.key.rows(rows), acts.value.rows(rows))
        let runs = runs(state)
        for run in runs {
            state.pass.backend.writeKV(
                attention(state.cache.kvType), k: k.rows(run.rows), v: v.rows(run.rows),
                firstPosition: run.firstPosition, pages: run.pages)
        }
        return runs
    }

    /// What attention makes of the queries, before the last product.
    private func weigh(
        _ rows: Range<Int>, _ runs: [AttentionRun], _ state: LayerPass, _ observer: Observer?
    ) throws {
        let acts = state.activations
        let attended = acts.attention.rows(rows)
        state.pass.backend.attention(
            attention(state.cache.kvType), runs: runs, q: acts.query.rows(rows), out: attended,
            lse: acts.logSumExp?.rows(rows))
        if let sinks, let sums = acts.logSumExp?.rows(rows) {
            sinks.apply(attended, logSumExp: sums)
        }
        packValues(attended, state)
        weighValues(attended, state)
        try observer?([output], outputInput(rows, state))
    }

    /// middle = x plus attention's value, of which `weigh` left the last product's input.
    func addAttention(_ x: Matrix, into middle: Matrix, _ state: LayerPass) throws {
        guard shape.hasBranch else {
            copy(x, to: middle)
            try output.forward(
                outputInput(0..<x.rows, state), into: middle, accumulate: true, state.pass)
            return
        }
        try projectBranch(0..<x.rows, state)
        copy(x, to: middle)
        add(.attention, to: middle, state)
    }

    func projectBranch(_ rows: Range<Int>, _ state: LayerPass) throws {
        try output.forward(
            outputInput(rows, state),
            into: value(of: .attention, rows.count, state), state.pass)
    }

    // MARK: Values in places of their own

    /// The place of a half's value.
    func value(of half: Half, _ rows: Int, _ state: LayerPass) -> Matrix {
        let acts = state.activations
        guard let place = half == .attention ? acts.attentionValue : acts.feedForwardValue else {
            preconditionFailure("the values of this layer are added at once")
        }
        return place.rows(0..<rows)
    }

    /// y += the value of a half, normed and times the factor as the model has it.
    func add(_ half: Half, to y: Matrix, _ state: LayerPass) {
        let (acts, backend) = (state.activations, state.pass.backend)
        let value = value(of: half, y.rows, state)
        guard let norm = half == .attention ? rowNorms.attentionValue : rowNorms.feedForwardValue
        else {
            return backend.addScaled(value, factor: shape.residualScale, to: y)
        }
        // A backward pass needs the value as it is.
        let normed = acts.normedValue?.rows(0..<y.rows) ?? value
        norm.forward(value, into: normed, backend)
        backend.addScaled(normed, factor: shape.residualScale, to: y)
    }

    // MARK: What follows attention

    private func feedForward(
        _ middle: Matrix, into out: Matrix, _ state: LayerPass, _ observer: Observer?
    ) throws {
        let input = try prepareFeedForward(middle, state, observer)
        try addFeedForward(middle, input, into: out, state, observer)
    }

    /// out = x plus the value of what reads `input`.
    func addFeedForward(
        _ x: Matrix, _ input: Matrix, into out: Matrix, _ state: LayerPass, _ observer: Observer?
    ) throws {
        guard shape.normsValues || shape.residualScale != 1 else {
            copy(x, to: out)
            switch feedForward {
            case .mlp(let mlp):
                try mlp.finish(into: out, accumulate: true, state.activations, state.pass)
            case .mixture(let mixture):
                try mixture.add(input, to: out, state.activations, state.pass, observer)
            }
            return
        }
        try computeFeedForward(input, value(of: .feedForward, x.rows, state), state, observer)
        copy(x, to: out)
        add(.feedForward, to: out, state)
    }

    /// y = the value of what reads `input`.
    private func computeFeedForward(
        _ input: Matrix, _ y: Matrix, _ state: LayerPass, _ observer: Observer?
    ) throws {
        switch feedForward {
        case .mlp(let mlp):
            try mlp.finish(into: y, accumulate: false, state.activations, state.pass)
        case .mixture(let mixture):
            y.zero()
            try mixture.add(input, to: y, state.activations, state.pass, observer)
        }
    }

    /// out = x plus both values of a parallel layer, of which attention's is there.
    private func addParallel(
        _ x: Matrix, into out: Matrix, _ state: LayerPass, _ observer: Observer?
    ) throws {
        let input = try prepareFeedForward(x, state, observer)
        copy(x, to: out)
        add(.attention, to: out, state)
        try addFeedForward(out, input, into: out, state, observer)
    }

    /// Computes what a backward pass needs of the MLP or mixture; returns its input.
    func prepareFeedForward(
        _ middle: Matrix, _ state: LayerPass, _ observer: Observer?
    ) throws -> Matrix {
        let (pass, acts) = (state.pass, state.activations)
        let input = normedFeedForward(middle, state)
        switch feedForward {
        case .mlp(let mlp): try mlp.activate(input, acts, pass, observer)
        case .mixture(let mixture): try mixture.route(input, acts, pass, observer)
        }
        return input
    }

    /// What the MLP or mixture reads.
    func normedFeedForward(_ middle: Matrix, _ state: LayerPass) -> Matrix {
        guard let norm = rowNorms.feedForward else {
            // Both halves of a parallel layer read the same norm.
            return shape.isParallel ? keptAttentionInput(middle, state) : middle
        }
        let input = state.activations.normedMiddle.rows(0..<middle.rows)
        norm.forward(middle, into: input, state.pass.backend)
        return input
    }

    /// The input of the MLP or mixture in a backward pass, after `recompute` or `forward`.
    func keptFeedForwardInput(_ x: Matrix, _ state: LayerPass) -> Matrix {
        let (acts, rows) = (state.activations, 0..<x.rows)
        if rowNorms.feedForward != nil { return acts.normedMiddle.rows(rows) }
        return shape.isParallel ? keptAttentionInput(x, state) : acts.middle.rows(rows)
    }

    private func copy(_ source: Matrix, to target: Matrix) {
        guard source.pointer != target.pointer else { return }
        target.pointer.update(from: source.pointer, count: source.count)
    }
}
