// SPDX-License-Identifier: Apache-2.0
// Products of parts of matrices, and of columns with columns.
import CEftKernels

/// A part of a matrix, or its transpose, as an operand.
package struct MatrixPart {
    let view: eft_view

    /// A part that begins at `start` in a matrix whose rows are `stride` numbers apart.
    package init(_ start: UnsafePointer<Float>, stride: Int, transposed: Bool = false) {
        view = eft_view(
            data: start, row_stride: transposed ? 1 : stride, column_stride: transposed ? stride : 1
        )
    }
}

extension CPUBackend {
    /// C = alpha A B + C for parts of matrices, A `[m][k]` and B `[k][n]`, in f32.
    /// - Parameters:
    ///   - c: where the part of C begins.
    ///   - stride: numbers from one row of C to the next.
    package func gemm(
        _ m: Int, _ n: Int, _ k: Int, alpha: Float, _ a: MatrixPart, _ b: MatrixPart,
        addingTo c: UnsafeMutablePointer<Float>, stride: Int
    ) throws(TensorError) {
        guard m > 0, n > 0, k > 0 else { return }
        let workspace = try scratch(eft_gemm_workspace(context, m, n, k))
        eft_gemm(context, m, n, k, alpha, a.view, b.view, 1, c, stride, 16, workspace.base)
    }

    /// C += X'Y, or the lower triangle of C += X'X without Y; above the diagonal C then holds anything. In bf16 at that
    /// precision, else in f32.
    /// - Parameters:
    ///   - x: `[T][N]`, as y.
    ///   - c: `[N][N]`.
    package func addGram(
        _ x: Matrix, with y: Matrix? = nil, to c: UnsafeMutablePointer<Float>
    ) throws(TensorError) {
        precondition(y.map { $0.rows == x.rows && $0.columns == x.columns } ?? true, "gram shapes")
        let precision = precision.kernelValue
        let workspace = try scratch(
            eft_gram_workspace(context, precision, x.rows, x.columns))
        eft_gram(
            context, precision, x.rows, x.columns, x.pointer, y?.pointer, c, workspace.base)
    }

    /// Scratch of `addGram` for so many rows and columns at most.
    package func gramScratchBytes(rows: Int, columns: Int) -> Int {
        eft_gram_workspace(context, precision.kernelValue, rows, columns)
    }
}
