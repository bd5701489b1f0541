// SPDX-License-Identifier: Apache-2.0
// The CPU as a device: a context of the C kernels, a ledger, and shared scratch memory.
import CEftKernels
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// The CPU backend. One computation at a time: callers on several threads wait for each other in the kernels' context.
package final class CPUBackend: Backend {
    package let ledger: MemoryLedger
    package let precision: ActivationPrecision
    /// Whether attention multiplies in bf16 where the machine has fast products of it; not for a backward pass.
    package let attendsRoughly: Bool
    /// The level of the kernels.
    package let instructionSet: InstructionSet
    /// Number of workers.
    package let threads: Int
    private let handle: ContextHandle
    private let scratchMemory: ScratchMemory

    /// Memory that products share, whatever their precision.
    private final class ScratchMemory: Sendable {
        let buffer = Mutex<Buffer?>(nil)
    }

    /// Owns the C context.
    private final class ContextHandle: @unchecked Sendable {
        let pointer: OpaquePointer
        init(_ pointer: OpaquePointer) { self.pointer = pointer }
        deinit { eft_context_destroy(pointer) }
    }

    /// Makes a backend.
    /// - Parameters:
    ///   - ledger: the device's account.
    ///   - threads: workers; all processors when nil.
    ///   - precision: of activations.
    ///   - instructionSet: level of the kernels.
    /// - Throws: `TensorError` when the machine lacks the instruction set.
    package init(
        ledger: MemoryLedger = MemoryLedger(), threads: Int? = nil,
        precision: ActivationPrecision = .f32, instructionSet: InstructionSet = .standard
    ) throws(TensorError) {
        let count = threads ?? max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        guard let context = eft_context_create(eft_isa(rawValue: instructionSet.rawValue), count)
        else {
            throw TensorError(
                .unsupportedMachine,
                "this machine cannot run the \(instructionSet.name) kernels; unset EFT_ISA")
        }
        handle = ContextHandle(context)
        scratchMemory = ScratchMemory()
        self.ledger = ledger
        self.precision = precision
        attendsRoughly = false
        self.instructionSet = instructionSet
        self.threads = count
    }

    /// Another logical device of the same workers: its own account and scratch memory.
    package init(sharing other: CPUBackend, ledger: MemoryLedger) {
        handle = other.handle
        scratchMemory = ScratchMemory()
        self.ledger = ledger
        precision = other.precision
        attendsRoughly = other.attendsRoughly
        instructionSet = other.instructionSet
        threads = other.threads
    }

    /// The same device, its memory and its workers, computing with activations of another precision.
    package init(
        _ other: CPUBackend, precision: ActivationPrecision, attendsRoughly: Bool = false
    ) {
        self.attendsRoughly = attendsRoughly
        handle = other.handle
        scratchMemory = other.scratchMemory
        ledger = other.ledger
        self.precision = precision
        instructionSet = other.instructionSet
        threads = other.threads
    }

    package var inFullPrecision: any Backend {
        precision == .f32 ? self : CPUBackend(self, precision: .f32)
    }

    /// The C context, for kernels that have no place in `Backend`.
    package var context: OpaquePointer { handle.pointer }

    // MARK: Scratch

    package func reserveScratch(_ bytes: Int) throws(TensorError) { _ = try scratch(bytes) }

    /// Scratch of at least `bytes`; the old memory is given back before more is taken.
    func scratch(_ bytes: Int) throws(TensorError) -> Buffer {
        let result: Result<Buffer, TensorError> = scratchMemory.buffer.withLock { current in
            if let current, current.byteCount >= bytes { return .success(current) }
            current = nil
            do throws(TensorError) {
                let fresh = try Buffer(byteCount: bytes, ledger: ledger, purpose: .workspace)
                current = fresh
                return .success(fresh)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    package func scratchBytes(for layout: WeightLayout, rows: Int, backward: Bool) -> Int {
        layout.withDescriptor { weight in
            let forward = eft_matmul_workspace(context, weight, precision.kernelValue, rows)
            guard backward else { return forward }
            return max(
                forward,
                eft_matmul_transposed_workspace(context, weight, precision.kernelValue, rows))
        }
    }

    package func gemmScratchBytes(m: Int, n: Int, k: Int) -> Int {
        eft_gemm_workspace(context, m, n, k)
    }

    // MARK: Products

    package func multiply(
        _ x: Matrix, _ weights: [PackedWeight], into y: [Matrix], accumulate: Bool
    ) throws(TensorError) {
        precondition(weights.count == y.count)
        let workspace = try scratch(for: weights, rows: x.rows)
        withProducts(x, weights, into: y, accumulate: accumulate) { products in
            eft_matmul_together(
                context, products.baseAddress, products.count, precision.kernelValue, x.rows,
                x.pointer, x.columns, workspace.base)
        }
    }

    package var gatedRows: Int { Int(EFT_GATED_ROWS) }

    package func multiplyGated(
        _ x: Matrix, gate: PackedWeight, up: PackedWeight, _ activation: Activation, into y: Matrix,
        scratch other: Matrix
    ) throws(TensorError) -> Bool {
        precondition(x.rows == y.rows && other.rows >= min(x.rows, gatedRows))
        for (weight, value) in [(gate, y), (up, other)] {
            precondition(x.columns == weight.inputs && value.columns == weight.outputs)
        }
        func product(_ weight: PackedWeight, _ y: Matrix) -> eft_product {
            eft_product(w: weight.descriptor, y: y.pointer, ldy: y.columns, accumulate: false)
        }
        let workspace = try scratch(for: [gate, up], rows: x.rows)
        return eft_matmul_gated(
            context, product(gate, y), product(up, other), activation.kernelValue,
            precision.kernelValue, x.rows, x.pointer, x.columns, workspace.base)
    }

    /// Scratch of products of the same rows.
    private func scratch(for weights: [PackedWeight], rows: Int) throws(TensorError) -> Buffer {
        var most = 0
        for weight in weights {
            let bytes = withUnsafePointer(to: weight.descriptor) {
                eft_matmul_workspace(context, $0, precision.kernelValue, rows)
            }
            most = max(most, bytes)
        }
        return try scratch(most)
    }

    /// Products of the same rows as the kernels take them.
    private func withProducts(
        _ x: Matrix, _ weights: [PackedWeight], into y: [Matrix], accumulate: Bool,
        _ body: (UnsafeBufferPointer<eft_product>) -> Void
    ) {
        let products = zip(weights, y).map { weight, y in
            precondition(
                x.columns == weight.inputs && y.columns == weight.outputs && x.rows == y.rows)
            return eft_product(
                w: weight.descriptor, y: y.pointer, ldy: y.columns, accumulate: accumulate)
        }
        products.withUnsafeBufferPointer(body)
    }

    package func multiplyTransposed(
        _ dy: Matrix, _ weight: PackedWeight, into dx: Matrix, accumulate: Bool
    ) throws(TensorError) {
        precondition(
            dx.columns == weight.inputs && dy.columns == weight.outputs && dx.rows == dy.rows)
        let bytes = withUnsafePointer(to: weight.descriptor) {
            eft_matmul_transposed_workspace(context, $0, precision.kernelValue, dy.rows)
        }
        let workspace = try scratch(bytes)
        withUnsafePointer(to: weight.descriptor) {
            eft_matmul_transposed(
                context, $0, precision.kernelValue, dy.rows, dy.pointer, dy.columns, dx.pointer,
                dx.columns, accumulate, workspace.base)
        }
    }

    private func view(_ matrix: Matrix, transposed: Bool) -> eft_view {
        eft_view(
            data: UnsafePointer(matrix.pointer), row_stride: transposed ? 1 : matrix.columns,
            column_stride: transposed ? matrix.columns : 1)
    }

    package func gemm(
        _ a: Matrix, transposeA: Bool, _ b: Matrix, transposeB: Bool, into c: Matrix, alpha: Float,
        beta: Float
    ) throws(TensorError) {
        let (m, k) = transposeA ? (a.columns, a.rows) : (a.rows, a.columns)
        let (kB, n) = transposeB ? (b.columns, b.rows) : (b.rows, b.columns)
        precondition(k == kB && c.rows == m && c.columns == n, "gemm shapes")
        let workspace = try scratch(eft_gemm_workspace(context, m, n, k))
        eft_gemm(
            context, m, n, k, alpha, view(a, transposed: transposeA),
            view(b, transposed: transposeB),
            beta, c.pointer, c.columns, 16, workspace.base)
    }

    package func accumulateWeightGradient(
        x: Matrix, dy: Matrix, into gradient: Buffer, layout: WeightLayout
    ) throws(TensorError) {
        precondition(
            layout.format == .f32 && gradient.byteCount == layout.panels * layout.panelBytes)
        let (k, n) = (layout.inputs, layout.outputs)
        precondition(x.columns == k && dy.columns == n && x.rows == dy.rows)
        let workspace = try scratch(eft_gemm_workspace(context, k, n, x.rows))
        eft_gemm(
            context, k, n, x.rows, 1, view(x, transposed: true), view(dy, transposed: false), 1,
            gradient.floats, 16, layout.panelBytes / 4, workspace.base)
    }

    package func pack(_ rows: Matrix, into weight: PackedWeight, firstRow: Int) {
        let end = firstRow + rows.rows
        precondition(rows.columns == weight.inputs && firstRow >= 0 && firstRow % 16 == 0)
        precondition(end <= weight.outputs && (end % 16 == 0 || end == weight.outputs))
        precondition([.f32, .f16, .bf16].contains(weight.layout.format), "a quantized weight")
        withUnsafePointer(to: weight.descriptor) {
            eft_dense_pack(
                context, $0, weight.panels.base, rows.pointer, EFT_F32, firstRow, rows.rows)
        }
    }

    package func squares(of weight: PackedWeight, into squares: Buffer) {
        precondition(squares.floatCount == weight.outputs)
        withUnsafePointer(to: weight.descriptor) {
            eft_weight_squares(context, $0, squares.floats)
        }
    }

    package func gather(_ weight: PackedWeight, rows: [Int32], into out: Matrix) {
        precondition(out.rows == rows.count && out.columns == weight.inputs)
        precondition(rows.allSatisfy { $0 >= 0 && Int($0) < weight.outputs }, "row out of range")
        withUnsafePointer(to: weight.descriptor) {
            eft_weight_rows(context, $0, rows, rows.count, out.pointer, out.columns)
        }
    }
}
