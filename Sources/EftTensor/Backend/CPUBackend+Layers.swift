// SPDX-License-Identifier: Apache-2.0
// Layers, attention and loss on the CPU.
import CEftKernels

extension CPUBackend {
    // MARK: Layers

    package func rmsNorm(_ x: Matrix, weight: Buffer, epsilon: Float, into y: Matrix) {
        precondition(x.columns == weight.floatCount && x.rows == y.rows && x.columns == y.columns)
        eft_rms_norm(
            context, x.rows, x.columns, x.pointer, x.columns, weight.floats, epsilon, y.pointer,
            y.columns, nil)
    }

    package func rmsNormBackward(
        x: Matrix, weight: Buffer, epsilon: Float, dy: Matrix, into dx: Matrix, accumulate: Bool,
        weightGradient: Buffer?
    ) {
        precondition(x.columns == weight.floatCount && x.rows == dy.rows && x.rows == dx.rows)
        eft_rms_norm_backward(
            context, x.rows, x.columns, x.pointer, x.columns, weight.floats, epsilon, dy.pointer,
            dy.columns, dx.pointer, dx.columns, accumulate, weightGradient?.floats)
    }

    package func layerNorm(
        _ x: Matrix, weight: Buffer, bias: Buffer?, epsilon: Float, into y: Matrix
    ) {
        precondition(x.columns == weight.floatCount && x.rows == y.rows && x.columns == y.columns)
        precondition(bias.map { $0.floatCount == x.columns } ?? true)
        eft_layer_norm(
            context, x.rows, x.columns, x.pointer, x.columns, weight.floats, bias?.floats, epsilon,
            y.pointer, y.columns)
    }

    package func layerNormBackward(
        x: Matrix, weight: Buffer, epsilon: Float, dy: Matrix, into dx: Matrix, accumulate: Bool,
        weightGradient: Buffer?, biasGradient: Buffer?
    ) {
        precondition(x.columns == weight.floatCount && x.rows == dy.rows && x.rows == dx.rows)
        eft_layer_norm_backward(
            context, x.rows, x.columns, x.pointer, x.columns, weight.floats, epsilon, dy.pointer,
            dy.columns, dx.pointer, dx.columns, accumulate, weightGradient?.floats,
            biasGradient?.floats)
    }

    package func rope(
        _ x: Matrix, headDim: Int, from first: Int, _ tables: RotaryTables, inverse: Bool
    ) {
        let rotated = tables.cosines.columns * 2
        precondition(x.columns % headDim == 0 && tables.cosines.rows == x.rows)
        precondition(
            first >= 0 && first + rotated <= headDim, "more numbers rotate than a head has")
        var rotation = eft_rotation(
            heads: x.columns / headDim, head_dim: headDim, rotated: rotated,
            interleaved: tables.interleaved)
        eft_rope(
            context, &rotation, x.rows, x.pointer + first, x.columns, tables.cosines.pointer,
            tables.sines.pointer, inverse)
    }

    package func activate(_ activation: Activation, gate: Matrix, up: Matrix?, into y: Matrix) {
        precondition(gate.columns == y.columns && gate.rows == y.rows)
        eft_activate(
            context, activation.kernelValue, y.rows, y.columns, gate.pointer, gate.columns,
            up?.pointer, up?.columns ?? 0, y.pointer, y.columns)
    }

    package func activateBackward(
        _ activation: Activation, gate: Matrix, up: Matrix?, dy: Matrix, dgate: Matrix, dup: Matrix?
    ) {
        precondition((up == nil) == (dup == nil), "a gradient for each factor")
        eft_activate_backward(
            context, activation.kernelValue, dy.rows, dy.columns, gate.pointer, gate.columns,
            up?.pointer, up?.columns ?? 0, dy.pointer, dy.columns, dgate.pointer, dgate.columns,
            dup?.pointer, dup?.columns ?? 0)
    }

    package func activate(_ activation: Activation, both: Matrix, into y: Matrix) {
        precondition(both.columns == 2 * y.columns && both.rows == y.rows)
        eft_activate(
            context, activation.kernelValue, y.rows, y.columns, both.pointer, both.columns,
            both.pointer + y.columns, both.columns, y.pointer, y.columns)
    }

    package func activateBackward(_ activation: Activation, both: Matrix, dy: Matrix) {
        precondition(both.columns == 2 * dy.columns && both.rows == dy.rows)
        let up = both.pointer + dy.columns
        eft_activate_backward(
            context, activation.kernelValue, dy.rows, dy.columns, both.pointer, both.columns,
            up, both.columns, dy.pointer, dy.columns, both.pointer, both.columns, up,
            both.columns)
    }

    package func softCap(_ x: Matrix, _ cap: Float) {
        eft_soft_cap(context, x.count, cap, x.pointer)
    }

    package func softCapBackward(_ y: Matrix, _ cap: Float, gradient: Matrix) {
        precondition(y.count == gradient.count)
        eft_soft_cap_backward(context, y.count, cap, y.pointer, gradient.pointer)
    }

    package func addScaled(_ x: Matrix, factor: Float, to y: Matrix) {
        precondition(x.count == y.count)
        eft_add_scaled(context, x.count, factor, x.pointer, y.pointer)
    }

    package func scale(_ x: Matrix, by factor: Float) {
        eft_scale(context, x.count, factor, x.pointer)
    }

    package func addBias(_ bias: Buffer, to x: Matrix) {
        precondition(bias.floatCount == x.columns)
        eft_add_bias(context, x.rows, x.columns, bias.floats, x.pointer, x.columns)
    }

    package func scaleColumns(of x: Matrix, by factors: Buffer, around bias: Buffer?) {
        precondition(factors.floatCount == x.columns)
        precondition(bias.map { $0.floatCount == x.columns } ?? true)
        eft_scale_columns(
            context, x.rows, x.columns, factors.floats, bias?.floats, x.pointer, x.columns)
    }

    package func addColumnProducts(
        of x: Matrix, _ y: Matrix, times factors: Buffer, to sums: Buffer
    ) {
        precondition(x.rows == y.rows && x.columns == y.columns)
        precondition(factors.floatCount == x.columns && sums.floatCount == x.columns)
        eft_column_products(
            context, x.rows, x.columns, factors.floats, x.pointer, x.columns, y.pointer, y.columns,
            sums.floats)
    }

    package func addColumnSums(of x: Matrix, to sums: Buffer) {
        precondition(sums.floatCount == x.columns)
        eft_column_sums(context, x.rows, x.columns, x.pointer, x.columns, sums.floats)
    }

    package func dropout(_ x: Matrix, into y: Matrix, probability: Float, seed: UInt64) {
        precondition(x.count == y.count)
        eft_dropout(context, x.count, x.pointer, y.pointer, probability, seed)
    }

    // MARK: Attention

    package func pageBytes(_ shape: AttentionShape) -> Int {
        withUnsafePointer(to: shape.kernelValue) { eft_kv_page_bytes($0) }
    }

    package func writeKV(
        _ shape: AttentionShape, k: Matrix, v: Matrix, firstPosition: Int, pages: PageList
    ) {
        precondition(pages.addresses.count * pageTokens >= firstPosition + k.rows)
        withUnsafePointer(to: shape.kernelValue) {
            eft_kv_write(
                context, $0, k.rows, firstPosition, k.pointer, k.columns, v.pointer, v.columns,
                pages.addresses)
        }
    }

    package func readKV(
        _ shape: AttentionShape, pages: PageList, firstPosition: Int, k: Matrix, v: Matrix
    ) {
        precondition(pages.addresses.count * pageTokens >= firstPosition + k.rows)
        withUnsafePointer(to: shape.kernelValue) {
            eft_kv_read(
                context, $0, k.rows, firstPosition, pages.addresses, k.pointer, k.columns,
                v.pointer,
                v.columns)
        }
    }

    package func attention(
        _ shape: AttentionShape, runs: [AttentionRun], q: Matrix, out: Matrix, lse: Matrix?
    ) {
        withKernelRuns(shape, runs, q: q, out: out, lse: lse, dout: nil, dq: nil) { runs in
            withUnsafePointer(to: shape.kernelValue) {
                let attend = attendsRoughly ? eft_attention_forward_rough : eft_attention_forward
                attend(context, $0, runs.baseAddress, runs.count, q.columns, out.columns)
            }
        }
    }

    package func attentionBackward(
        _ shape: AttentionShape, runs: [AttentionRun], q: Matrix, out: Matrix, lse: Matrix,
        dout: Matrix, dq: Matrix
    ) {
        precondition(shape.kvType == .f32, "the backward pass reads f32 pages")
        withKernelRuns(shape, runs, q: q, out: out, lse: lse, dout: dout, dq: dq) { runs in
            withUnsafePointer(to: shape.kernelValue) {
                eft_attention_backward(
                    context, $0, runs.baseAddress, runs.count, q.columns, out.columns)
            }
        }
    }

    /// Page addresses of all runs are copied to one array that outlives the call.
    private func withKernelRuns(
        _ shape: AttentionShape, _ runs: [AttentionRun], q: Matrix, out: Matrix, lse: Matrix?,
        dout: Matrix?, dq: Matrix?, body: (UnsafeBufferPointer<eft_attention_run>) -> Void
    ) {
        precondition(q.columns == shape.heads * shape.headDim && out.columns == q.columns)
        let addresses = runs.flatMap { $0.pages.addresses + ($0.gradientPages?.addresses ?? []) }
        addresses.withUnsafeBufferPointer { table in
            var next = 0
            let kernelRuns = runs.map { run in
                precondition(
                    run.pages.addresses.count * pageTokens >= run.firstPosition + run.rows.count)
                let row = run.rows.lowerBound
                var kernelRun = eft_attention_run()
                kernelRun.rows = run.rows.count
                kernelRun.first_position = run.firstPosition
                kernelRun.pages = table.baseAddress.map { $0 + next }
                next += run.pages.addresses.count
                if let gradients = run.gradientPages {
                    kernelRun.gradient_pages = table.baseAddress.map { $0 + next }
                    next += gradients.addresses.count
                }
                kernelRun.q = UnsafePointer(q.pointer + row * q.columns)
                kernelRun.out = out.pointer + row * out.columns
                kernelRun.lse = lse.map { $0.pointer + row * shape.heads }
                kernelRun.dout = dout.map { UnsafePointer($0.pointer + row * $0.columns) }
                kernelRun.dq = dq.map { $0.pointer + row * $0.columns }
                return kernelRun
            }
            kernelRuns.withUnsafeBufferPointer(body)
        }
    }

    // MARK: Loss

    package func crossEntropy(
        logits: Matrix, labels: ArraySlice<Int32>, gradientScale: Float, smoothing: Float,
        losses: UnsafeMutableBufferPointer<Float>
    ) {
        precondition(labels.count == logits.rows && losses.count >= logits.rows)
        precondition(labels.allSatisfy { Int($0) < logits.columns }, "label beyond the vocabulary")
        labels.withUnsafeBufferPointer { labels in
            eft_cross_entropy(
                context, logits.rows, logits.columns, logits.pointer, logits.columns,
                labels.baseAddress, gradientScale, smoothing, losses.baseAddress)
        }
    }

    package func sumOfSquares(_ x: Buffer) -> Double {
        eft_sum_squares(context, x.floatCount, x.floats)
    }
}

extension AttentionShape {
    /// The kernels' description.
    fileprivate var kernelValue: eft_attention {
        let type = kvType == .f32 ? EFT_F32 : kvType == .f16 ? EFT_F16 : EFT_BF16
        return eft_attention(
            heads: heads, kv_heads: kvHeads, head_dim: headDim, scale: scale, kv_type: type,
            key_bits: UInt32(kvType.bits.key), value_bits: UInt32(kvType.bits.value),
            window: window ?? 0, is_chunked: isChunked, soft_cap: softCap ?? 0)
    }
}

extension Activation {
    /// The kernels' name for it.
    var kernelValue: eft_activation {
        switch self {
        case .silu: EFT_SILU
        case .gelu: EFT_GELU
        case .geluTanh: EFT_GELU_TANH
        case .relu: EFT_RELU
        case .reluSquared: EFT_RELU2
        case .clampedSwiGLU: EFT_CLAMPED
        case .sigmoid: EFT_SIGMOID
        }
    }
}
