// SPDX-License-Identifier: Apache-2.0
// The operations that a device implements, forward and backward.

/// What a device computes, on its own memory.
///
/// Matrices are f32 and row-major. No operation allocates but for the shared scratch memory, which grows to the
/// largest need and is entered in the ledger as workspace; `reserveScratch` takes it in advance.
/// The result for a row never depends on the other rows of a call, nor on the number of threads.
package protocol Backend: AnyObject, Sendable {
    /// The account of this device's memory.
    var ledger: MemoryLedger { get }
    /// Precision of activations in products with bf16 and quantized weights.
    var precision: ActivationPrecision { get }

    /// The same device and its memory, computing with activations in f32.
    var inFullPrecision: any Backend { get }

    // MARK: Scratch

    /// Makes sure that at least `bytes` of scratch memory stand ready.
    func reserveScratch(_ bytes: Int) throws(TensorError)
    /// Scratch that products with such a weight take, forward only or both ways, with `rows` rows.
    func scratchBytes(for layout: WeightLayout, rows: Int, backward: Bool) -> Int
    /// Scratch of `gemm`.
    func gemmScratchBytes(m: Int, n: Int, k: Int) -> Int

    // MARK: Products

    /// y (+)= x W for each weight: x `[T][K]`, y `[T][N]`. Products of the same x take less time together than one by one.
    func multiply(_ x: Matrix, _ weights: [PackedWeight], into y: [Matrix], accumulate: Bool)
        throws(TensorError)
    /// Most rows of memory that `multiplyGated` takes for its second product.
    var gatedRows: Int { get }
    /// y = f(x G) * (x U), the same bits as `multiply` and `activate` give.
    /// - Parameter scratch: memory of at least min(T, `gatedRows`) rows of y; holds anything afterwards.
    /// - Returns: false where the two products cannot be computed together; nothing is done then.
    func multiplyGated(
        _ x: Matrix, gate: PackedWeight, up: PackedWeight, _ activation: Activation, into y: Matrix,
        scratch: Matrix
    ) throws(TensorError) -> Bool
    /// dx (+)= dy W': dy `[T][N]`, dx `[T][K]`.
    func multiplyTransposed(
        _ dy: Matrix, _ weight: PackedWeight, into dx: Matrix, accumulate: Bool) throws(TensorError)
    /// C = alpha op(A) op(B) + beta C with op the identity or the transpose.
    func gemm(
        _ a: Matrix, transposeA: Bool, _ b: Matrix, transposeB: Bool, into c: Matrix, alpha: Float,
        beta: Float) throws(TensorError)
    /// The gradient of a dense f32 weight in its panel form: dW += x' dy.
    func accumulateWeightGradient(
        x: Matrix, dy: Matrix, into gradient: Buffer, layout: WeightLayout)
        throws(TensorError)
    /// The sum of squares of the weights of each output, `[N]`.
    func squares(of weight: PackedWeight, into squares: Buffer)
    /// Writes rows of f32 numbers into a weight that is not quantized, rounded to its type.
    /// - Parameter firstRow: where they begin, a multiple of 16; they end at another one or with the weight.
    func pack(_ rows: Matrix, into weight: PackedWeight, firstRow: Int)
    /// Rows of the transposed weight, in input order: out[i] = W[:, rows[i]]. The embedding look-up.
    func gather(_ weight: PackedWeight, rows: [Int32], into out: Matrix)

    // MARK: Layers

    /// y = x / rms(x) * weight.
    func rmsNorm(_ x: Matrix, weight: Buffer, epsilon: Float, into y: Matrix)
    /// dx (+)= gradient of x; dweight += gradient of the weight, when given.
    func rmsNormBackward(
        x: Matrix, weight: Buffer, epsilon: Float, dy: Matrix, into dx: Matrix, accumulate: Bool,
        weightGradient: Buffer?)
    /// y = (x - mean(x)) / deviation(x) * weight + bias.
    func layerNorm(_ x: Matrix, weight: Buffer, bias: Buffer?, epsilon: Float, into y: Matrix)
    /// dx (+)= gradient of x; adds to the gradients of weight and bias, when given.
    func layerNormBackward(
        x: Matrix, weight: Buffer, epsilon: Float, dy: Matrix, into dx: Matrix, accumulate: Bool,
        weightGradient: Buffer?, biasGradient: Buffer?)
    /// Rotates heads in place; `inverse` rotates back.
    /// - Parameter first: numbers of each head before those that rotate.
    func rope(_ x: Matrix, headDim: Int, from first: Int, _ tables: RotaryTables, inverse: Bool)
    /// y = f(gate) * up, or f(gate) without `up`.
    func activate(_ activation: Activation, gate: Matrix, up: Matrix?, into y: Matrix)
    /// dgate and dup from dy; may overwrite gate and up. There is `dup` where there is `up`.
    func activateBackward(
        _ activation: Activation, gate: Matrix, up: Matrix?, dy: Matrix, dgate: Matrix, dup: Matrix?
    )
    /// y = f(gate) * up, of a matrix whose rows hold the gate and then the other factor.
    func activate(_ activation: Activation, both: Matrix, into y: Matrix)
    /// The gradients of both factors from dy, in their place.
    func activateBackward(_ activation: Activation, both: Matrix, dy: Matrix)
    /// x = cap * tanh(x / cap).
    func softCap(_ x: Matrix, _ cap: Float)
    /// From the gradient of y = cap * tanh(x / cap) to that of x, in place.
    func softCapBackward(_ y: Matrix, _ cap: Float, gradient: Matrix)
    /// y += factor * x.
    func addScaled(_ x: Matrix, factor: Float, to y: Matrix)
    /// x *= factor.
    func scale(_ x: Matrix, by factor: Float)
    /// x += bias in each row.
    func addBias(_ bias: Buffer, to x: Matrix)
    /// x = (x - bias) * factors + bias in each row.
    func scaleColumns(of x: Matrix, by factors: Buffer, around bias: Buffer?)
    /// sums += factors * the sum over the rows of x * y.
    func addColumnProducts(of x: Matrix, _ y: Matrix, times factors: Buffer, to sums: Buffer)
    /// sums += the sum of the rows.
    func addColumnSums(of x: Matrix, to sums: Buffer)
    /// y = dropout(x), the mask a function of (seed, index).
    func dropout(_ x: Matrix, into y: Matrix, probability: Float, seed: UInt64)

    // MARK: Attention

    /// Bytes of a page of 16 tokens of one layer.
    func pageBytes(_ shape: AttentionShape) -> Int
    /// Writes keys and values of consecutive positions into pages.
    func writeKV(_ shape: AttentionShape, k: Matrix, v: Matrix, firstPosition: Int, pages: PageList)
    /// Reads keys and values (or their gradients, shape with f32 pages) back into rows.
    func readKV(_ shape: AttentionShape, pages: PageList, firstPosition: Int, k: Matrix, v: Matrix)
    /// Causal attention of every run over its own pages.
    func attention(
        _ shape: AttentionShape, runs: [AttentionRun], q: Matrix, out: Matrix, lse: Matrix?)
    /// dq, and gradients of keys and values added into each run's gradient pages (f32).
    func attentionBackward(
        _ shape: AttentionShape, runs: [AttentionRun], q: Matrix, out: Matrix, lse: Matrix,
        dout: Matrix, dq: Matrix)

    // MARK: Linear attention

    /// decay = exp(-exp(rate) softplus(a + bias)) and strength = sigmoid(b), or that soft plus without b; `[T][H]` each.
    func deltaGates(
        a: Matrix, b: Matrix?, rate: Buffer, bias: Buffer, decay: Matrix, strength: Matrix)
    /// a and b become their gradients; adds to the gradients of rate and bias, when given.
    func deltaGatesBackward(
        _ gates: DeltaGates, ddecay: Matrix, dstrength: Matrix, rateGradient: Buffer?,
        biasGradient: Buffer?)
    /// The gated delta rule over the rows of one sequence; `state` is that behind the last row afterwards.
    /// - Parameter isFresh: whether the state before the first row is zero, whatever stands there.
    func deltaRule(
        _ shape: DeltaShape, _ rows: DeltaRows, into out: Matrix,
        state: UnsafeMutablePointer<Float>, isFresh: Bool)
    /// Gradients of a sequence that begins with a zero state, all overwritten.
    func deltaRuleBackward(
        _ shape: DeltaShape, _ rows: DeltaRows, dout: Matrix, into gradients: DeltaRows,
        state: UnsafeMutablePointer<Float>, scratch: Buffer)
    /// y = the convolution of columns of x over the last rows.
    func convolve(_ convolution: RowConvolution, into y: Matrix)
    /// dy becomes the gradient of x, of which nothing stands before its first row; adds to the weight's, when given.
    func convolveBackward(_ convolution: RowConvolution, dy: Matrix, weightGradient: Buffer?)

    // MARK: Loss and optimizer

    /// Losses of rows of logits; logits become their gradient times `gradientScale` when that is not 0. All tokens share
    /// `smoothing` of what is wanted.
    func crossEntropy(
        logits: Matrix, labels: ArraySlice<Int32>, gradientScale: Float, smoothing: Float,
        losses: UnsafeMutableBufferPointer<Float>)
    /// How rows of logits differ from those of a reference; negative labels give no losses.
    func divergence(
        reference: Matrix, logits: Matrix, labels: ArraySlice<Int32>
    ) -> [RowDivergence]
    /// Sums of squares of the difference of two matrices, and of the reference.
    func difference(reference: Matrix, _ other: Matrix) -> StateDifference
    /// The sum of squares of all elements.
    func sumOfSquares(_ x: Buffer) -> Double
    /// One step of an optimizer's element-wise rule on f32 values. Rules of whole matrices overwrite the gradient.
    func update(_ step: UpdateStep, value: Buffer, gradient: Buffer, states: [UpdateState?])
    /// Means by row and by column of x^2 + floor.
    func squareMeans(
        _ x: Buffer, _ shape: ParameterShape, floor: Float, rows: Matrix, columns: Matrix)
    /// x[r][c] *= rows[r] * columns[c].
    func scale(_ x: Buffer, _ shape: ParameterShape, rows: Matrix, columns: Matrix)
    /// The numbers of a trained matrix in rows.
    func read(_ x: Buffer, _ shape: ParameterShape, into out: Matrix)
    /// x = keep * x + factor * y.
    func add(
        _ y: Matrix, factor: Float, to x: Buffer, _ shape: ParameterShape, keeping keep: Float)

    // MARK: Fake quantization

    /// rounded = an f32 weight with 16 values, evenly from the smallest to the largest of each group of inputs.
    func fakeInt4(_ weight: PackedWeight, group: Int, into rounded: PackedWeight)
    /// From the gradient of the rounded weight to that of the weight, in place. Rounding counts as the identity; the steps
    /// are functions of the weight.
    func fakeInt4Backward(_ weight: PackedWeight, group: Int, gradient: Buffer)
    /// Makes gradients `[rows.count][K]` of rows such that `fakeInt4Backward` gives them back.
    func fakeInt4Inverse(_ weight: PackedWeight, group: Int, rows: [Int32], gradients: Matrix)
    /// y = x in 8 bits with a scale and a zero point for each row.
    func fakeInt8(_ x: Matrix, into y: Matrix)
    /// Sets the gradient of x to zero where its code would pass 8 bits.
    func fakeInt8Backward(_ x: Matrix, gradient: Matrix)
}

extension Backend {
    /// y (+)= x W: x `[T][K]`, y `[T][N]`.
    package func multiply(
        _ x: Matrix, _ weight: PackedWeight, into y: Matrix, accumulate: Bool
    ) throws(TensorError) {
        try multiply(x, [weight], into: [y], accumulate: accumulate)
    }
}

/// Heads of an attention layer and the type of its cache.
package struct AttentionShape: Sendable, Hashable {
    /// Query heads.
    package let heads: Int
    /// Key and value heads.
    package let kvHeads: Int
    /// Numbers of a head.
    package let headDim: Int
    /// Factor of the scores.
    package let scale: Float
    /// How keys and values are held in pages.
    package let kvType: KVType
    /// Positions that a row sees, its own included; all when nil.
    package let window: Int?
    /// Whether sequences are cut into chunks of that many positions, of which a row sees those of its own.
    package let isChunked: Bool
    /// Scores s become cap * tanh(s / cap); nil leaves them as they are.
    package let softCap: Float?

    /// Makes a shape.
    package init(
        heads: Int, kvHeads: Int, headDim: Int, scale: Float, kvType: KVType, window: Int? = nil,
        isChunked: Bool = false, softCap: Float? = nil
    ) {
        precondition(kvHeads > 0 && heads % kvHeads == 0)
        precondition(kvType.holds(headDim: headDim), "head of a cache in codes")
        self.heads = heads
        self.kvHeads = kvHeads
        self.headDim = headDim
        self.scale = scale
        self.kvType = kvType
        self.window = window
        self.isChunked = isChunked
        self.softCap = softCap
    }
}

/// Tokens of a page of the KV cache.
package let pageTokens = 16

/// Addresses of the pages that hold one sequence's keys and values in one layer, in order of position.
package struct PageList: @unchecked Sendable {
    /// One address for each 16 positions.
    package let addresses: [UnsafeMutableRawPointer?]

    /// Makes a list.
    package init(_ addresses: [UnsafeMutableRawPointer?]) { self.addresses = addresses }
}

/// Consecutive rows of a batch that belong to one sequence.
package struct AttentionRun: Sendable {
    /// The rows of the batch.
    package let rows: Range<Int>
    /// The position of the first row in its sequence.
    package let firstPosition: Int
    /// Pages of keys and values, up to the last row's position.
    package let pages: PageList
    /// Pages of gradients, for the backward pass.
    package let gradientPages: PageList?

    /// Makes a run.
    package init(
        rows: Range<Int>, firstPosition: Int, pages: PageList, gradientPages: PageList? = nil
    ) {
        self.rows = rows
        self.firstPosition = firstPosition
        self.pages = pages
        self.gradientPages = gradientPages
    }
}
