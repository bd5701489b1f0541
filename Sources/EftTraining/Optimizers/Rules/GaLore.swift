// SPDX-License-Identifier: Apache-2.0
// GaLore (Zhao et al. 2024), as the package galore-torch computes it.
import EftNN
import EftTensor

/// Another optimizer for gradients that are projected on their largest singular vectors; its step is projected back.
///
/// Of a weight of N x K numbers at rank r it holds r min(N, K) numbers of the projection, and the state of r max(N, K). What is no
/// target is trained by the other optimizer as it is.
struct GaLore<Inner: UpdateRule>: UpdateRule {
    /// Which singular vectors gradients are projected on.
    private enum Sides: String, CaseIterable {
        /// Those of the shorter side.
        case shorter = "std"
        /// Those of the longer side.
        case longer = "reverse_std"
        case right
        case left
        case both = "full"
    }

    private let inner: Inner
    /// Whether weight decay comes after the step, and acts on it too.
    private let decaysLast: Bool
    private let rank: Int
    /// Steps between two projections.
    private let gap: Int
    private let scale: Double
    private let sides: Sides

    init(
        _ inner: Inner, decaysLast: Bool, _ options: inout OptimizerOptions
    ) throws(TrainingError) {
        self.inner = inner
        self.decaysLast = decaysLast
        rank = try options.count("rank") ?? 128
        gap = try options.count("update_proj_gap") ?? 200
        scale = try options.number("scale", in: 0...1e6) ?? 0.25
        let word = try options.word("proj_type", of: Sides.allCases.map(\.rawValue))
        sides = word.flatMap(Sides.init) ?? .shorter
        guard options.settings.targets != nil else {
            throw TrainingError(
                .configuration,
                "\(options.settings.name) needs optim_target_modules: the linear layers whose gradients are projected, "
                    + "such as [self_attn, mlp], or all-linear")
        }
    }

    var name: String { "galore_" + inner.name }

    /// The projection of a weight.
    private struct Projection {
        let shape: ParameterShape
        let rank: Int
        let isLeft: Bool
        let isRight: Bool

        /// The projected gradient.
        var low: ParameterShape {
            .matrix(
                rows: isLeft ? rank : shape.rows, columns: isRight ? rank : shape.columns)
        }
        var vectors: SingularVectors {
            SingularVectors(rows: shape.rows, columns: shape.columns, count: rank)
        }
        /// Numbers of the vectors.
        var leftCount: Int { isLeft ? rank * shape.rows : 0 }
        var rightCount: Int { isRight ? rank * shape.columns : 0 }
        /// Numbers between two products.
        var middleCount: Int { isLeft && isRight ? rank * shape.columns : 0 }
    }

    /// nil for what is no target.
    private func projection(_ shape: ParameterShape) -> Projection? {
        guard shape.isTarget, min(shape.rows, shape.columns) > 0 else { return nil }
        let isTall = shape.rows >= shape.columns
        let (left, right) =
            switch sides {
            case .shorter: (!isTall, isTall)
            case .longer: (isTall, !isTall)
            case .left: (true, false)
            case .right: (false, true)
            case .both: (true, true)
            }
        return Projection(
            shape: shape, rank: min(rank, shape.rows, shape.columns), isLeft: left, isRight: right)
    }

    // MARK: Memory

    func state(of shape: ParameterShape) -> [StatePart] {
        guard let projection = projection(shape) else { return inner.state(of: shape) }
        return [
            .f32("projector_left", projection.leftCount),
            .f32("projector_right", projection.rightCount),
        ].filter { $0.count > 0 } + inner.state(of: projection.low)
    }

    func scratchBytes(for shape: ParameterShape) -> Int {
        guard let projection = projection(shape) else { return inner.scratchBytes(for: shape) }
        return Scratch(projection, inner).byteCount
    }

    func libraryBytes(for shape: ParameterShape, on backend: any Backend) -> Int {
        let threads = (backend as? CPUBackend)?.threads ?? 1
        return projection(shape)?.vectors.libraryBytes(threads: threads) ?? 0
    }

    func productBytes(for shape: ParameterShape, on backend: any Backend) -> Int {
        guard let projection = projection(shape) else {
            return inner.productBytes(for: shape, on: backend)
        }
        let (low, rank) = (projection.low, projection.rank)
        var most = max(
            backend.gemmScratchBytes(m: shape.rows, n: shape.columns, k: rank),
            backend.gemmScratchBytes(
                m: low.rows, n: low.columns, k: projection.isLeft ? shape.rows : shape.columns))
        if projection.isLeft, projection.isRight {
            most = max(
                most, backend.gemmScratchBytes(m: rank, n: shape.columns, k: shape.rows),
                backend.gemmScratchBytes(m: rank, n: rank, k: shape.columns),
                backend.gemmScratchBytes(m: rank, n: shape.columns, k: rank))
        }
        return most
    }

    /// Where the numbers of a step stand: the gradient and later the step, then either what the search for vectors takes, or the
    /// projected gradient, its step, and what lies between two products or what the other optimizer takes.
    private struct Scratch {
        let projection: Projection
        private let innerBytes: Int

        init(_ projection: Projection, _ inner: Inner) {
            self.projection = projection
            innerBytes = inner.scratchBytes(for: projection.low)
        }

        private var whole: Int { roundUp(projection.shape.numbers * 4, to: 64) }
        private var low: Int { roundUp(projection.low.numbers * 4, to: 64) }
        private var last: Int { max(projection.middleCount * 4, innerBytes) }
        var byteCount: Int { whole + max(projection.vectors.scratchBytes, 2 * low + last) }

        func gradient(_ memory: Buffer) -> Matrix {
            Matrix(
                sharing: memory, rows: projection.shape.rows, columns: projection.shape.columns)
        }
        func search(_ memory: Buffer) -> Buffer {
            Buffer(part: whole..<byteCount, of: memory)
        }
        func lowGradient(_ memory: Buffer) -> Buffer {
            Buffer(part: whole..<whole + projection.low.numbers * 4, of: memory)
        }
        func lowStep(_ memory: Buffer) -> Buffer {
            let first = whole + low
            return Buffer(part: first..<first + projection.low.numbers * 4, of: memory)
        }
        func rest(_ memory: Buffer) -> Buffer {
            let first = whole + 2 * low
            return Buffer(part: first..<first + last, of: memory)
        }
    }

    // MARK: Steps

    func update(_ target: UpdateTarget, _ step: OptimizerStep) throws(TensorError) {
        guard let projection = projection(target.shape), let memory = target.scratch else {
            return try inner.update(target, decaysLast ? step.decayingLast : step)
        }
        let scratch = Scratch(projection, inner)
        let (shape, backend, parameter) = (target.shape, target.backend, target.parameter)
        let gradient = scratch.gradient(memory)
        backend.read(parameter.gradient, shape, into: gradient)
        let left = vectors(target, "projector_left", projection.isLeft, shape.rows, projection)
        let right = vectors(
            target, "projector_right", projection.isRight, shape.columns, projection)
        if (step.number - 1) % gap == 0 {
            guard
                projection.vectors.find(
                    of: gradient, left: left, right: right, scratch: scratch.search(memory))
            else {
                throw TensorError(
                    .invalidShape,
                    "the singular vectors of the gradient of \(parameter.name) were not found; lower the learning rate"
                )
            }
        }
        let low = Parameter(
            name: parameter.name, value: scratch.lowStep(memory),
            gradient: scratch.lowGradient(memory), shape: projection.low)
        let rest = scratch.rest(memory)
        try project(gradient, left, right, into: low.gradient, projection, rest, backend)
        low.value.floats.update(repeating: 0, count: low.value.floatCount)
        try inner.update(
            UpdateTarget(
                parameter: low, shape: projection.low, state: target.state, scratch: rest,
                backend: backend), step.withoutDecay)
        try projectBack(low.value, left, right, into: gradient, projection, rest, backend)
        let factor = scale * (decaysLast ? step.keep : 1)
        backend.add(
            gradient, factor: Float(factor), to: parameter.value, shape, keeping: Float(step.keep))
    }

    /// Vectors in the state, row by row; nil for a side that has none.
    private func vectors(
        _ target: UpdateTarget, _ name: String, _ isThere: Bool, _ columns: Int,
        _ projection: Projection
    ) -> Matrix? {
        guard isThere else { return nil }
        let row = target.state.row(name)
        return Matrix(
            sharing: row.buffer, offset: row.offset, rows: projection.rank, columns: columns)
    }

    /// low = L G R', with L or R left out where there is none.
    private func project(
        _ gradient: Matrix, _ left: Matrix?, _ right: Matrix?, into low: Buffer,
        _ projection: Projection, _ rest: Buffer, _ backend: any Backend
    ) throws(TensorError) {
        let target = Matrix(
            sharing: low, rows: projection.low.rows, columns: projection.low.columns)
        var x = gradient
        if let left {
            let middle = right == nil ? target : self.middle(projection, rest)
            try backend.gemm(
                left, transposeA: false, x, transposeB: false, into: middle, alpha: 1, beta: 0)
            x = middle
        }
        if let right {
            try backend.gemm(
                x, transposeA: false, right, transposeB: true, into: target, alpha: 1, beta: 0)
        }
    }

    /// whole = L' low R, likewise.
    private func projectBack(
        _ low: Buffer, _ left: Matrix?, _ right: Matrix?, into whole: Matrix,
        _ projection: Projection, _ rest: Buffer, _ backend: any Backend
    ) throws(TensorError) {
        var x = Matrix(
            sharing: low, rows: projection.low.rows, columns: projection.low.columns)
        if let right {
            let target = left == nil ? whole : self.middle(projection, rest)
            try backend.gemm(
                x, transposeA: false, right, transposeB: false, into: target, alpha: 1, beta: 0)
            x = target
        }
        if let left {
            try backend.gemm(
                left, transposeA: true, x, transposeB: false, into: whole, alpha: 1, beta: 0)
        }
    }

    private func middle(_ projection: Projection, _ rest: Buffer) -> Matrix {
        Matrix(sharing: rest, rows: projection.rank, columns: projection.shape.columns)
    }
}

extension OptimizerStep {
    /// The same step without weight decay.
    fileprivate var withoutDecay: OptimizerStep { changed(rate: learningRate, decay: 0) }

    /// A step that leaves of value and step what decay leaves of the value.
    fileprivate var decayingLast: OptimizerStep {
        keep > 0 ? changed(rate: learningRate * keep, decay: weightDecay / keep) : self
    }

    private func changed(rate: Double, decay: Double) -> OptimizerStep {
        OptimizerStep(
            learningRate: rate, weightDecay: decay, gradientScale: gradientScale, number: number,
            warmup: warmup)
    }
}
