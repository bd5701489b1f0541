// SPDX-License-Identifier: Apache-2.0
// Muon (Jordan et al. 2024) with the step size of Moonlight (Liu et al. 2025), as Axolotl's own Muon has it.
import EftTensor

/// Momentum of a matrix, made orthogonal by five Newton-Schulz iterations; AdamW for vectors, embedding and head.
///
/// The iterations are in f32, where the package rounds to bf16.
struct Muon: UpdateRule {
    private static let coefficients: (Float, Float, Float) = (3.4445, -4.7750, 2.0315)
    var momentum: Double
    var isNesterov: Bool
    var iterations: Int
    private var rest: AdamW

    init(_ options: inout OptimizerOptions) throws(TrainingError) {
        momentum = try options.number("momentum", in: 0...0.999999) ?? 0.95
        isNesterov = try options.flag("nesterov") ?? true
        iterations = try options.count("ns_steps") ?? 5
        guard iterations <= 100 else { throw options.error("ns_steps", "must be at most 100") }
        rest = AdamW(&options)
        rest.correctsEpsilon = false
    }

    let name = "muon"

    private func isOrthogonal(_ shape: ParameterShape) -> Bool {
        shape.isMatrix && !shape.isOfVocabulary
    }

    func state(of shape: ParameterShape) -> [StatePart] {
        guard isOrthogonal(shape) else { return rest.state(of: shape) }
        return [.f32("momentum_buffer", shape.storedCount)]
    }

    func scratchBytes(for shape: ParameterShape) -> Int {
        guard isOrthogonal(shape) else { return 0 }
        let side = min(shape.rows, shape.columns)
        return (2 * shape.numbers + 2 * side * side) * 4
    }

    func productBytes(for shape: ParameterShape, on backend: any Backend) -> Int {
        guard isOrthogonal(shape) else { return 0 }
        let side = min(shape.rows, shape.columns)
        return max(
            backend.gemmScratchBytes(m: side, n: side, k: max(shape.rows, shape.columns)),
            backend.gemmScratchBytes(m: side, n: side, k: side),
            backend.gemmScratchBytes(m: shape.rows, n: shape.columns, k: side))
    }

    func update(_ target: UpdateTarget, _ step: OptimizerStep) throws(TensorError) {
        let shape = target.parameter.shape
        guard isOrthogonal(shape), let scratch = target.scratch else {
            return rest.update(target, step)
        }
        var change = UpdateStep(.nesterov, rate: 0)
        change.gradientScale = step.gradientScale
        change.beta1 = momentum
        change.isNesterov = isNesterov
        target.apply(change, ["momentum_buffer"])
        let result = try orthogonal(target, scratch)
        let rate = step.learningRate * 0.2 * Double(max(shape.rows, shape.columns)).squareRoot()
        target.backend.add(
            result, factor: Float(-rate), to: target.parameter.value, shape,
            keeping: Float(step.keep))
    }

    /// The orthogonal matrix next to the gradient, nearly.
    private func orthogonal(
        _ target: UpdateTarget, _ scratch: Buffer
    ) throws(TensorError) -> Matrix {
        let (shape, backend) = (target.parameter.shape, target.backend)
        let (rows, columns, numbers) = (shape.rows, shape.columns, shape.numbers)
        let side = min(rows, columns)
        var x = Matrix(sharing: scratch, rows: rows, columns: columns)
        var y = Matrix(sharing: scratch, offset: numbers, rows: rows, columns: columns)
        let a = Matrix(sharing: scratch, offset: 2 * numbers, rows: side, columns: side)
        let b = Matrix(
            sharing: scratch, offset: 2 * numbers + side * side, rows: side, columns: side)
        let gradient = target.parameter.gradient
        backend.read(gradient, shape, into: x)
        let norm = backend.sumOfSquares(gradient).squareRoot()
        backend.scale(x, by: Float(1 / (norm + 1e-7)))
        let isWide = rows <= columns
        for _ in 0..<iterations {
            // A is x x', or x' x of a tall matrix: the smaller of both. B = c2 A + c3 A A; x = c1 x + B x, or x B.
            try backend.gemm(
                x, transposeA: !isWide, x, transposeB: isWide, into: a, alpha: 1, beta: 0)
            try backend.gemm(
                a, transposeA: false, a, transposeB: false, into: b, alpha: Self.coefficients.2,
                beta: 0)
            backend.addScaled(a, factor: Self.coefficients.1, to: b)
            try backend.gemm(
                isWide ? b : x, transposeA: false, isWide ? x : b, transposeB: false, into: y,
                alpha: 1, beta: 0)
            backend.addScaled(x, factor: Self.coefficients.0, to: y)
            swap(&x, &y)
        }
        return x
    }
}
