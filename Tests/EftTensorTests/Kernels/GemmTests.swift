// SPDX-License-Identifier: Apache-2.0
// The f32 product against f64, over strides, shapes, and forms of the result.
import CEftKernels
import Testing

struct GemmTests {
    /// Strides of an operand whose rows, or columns, are contiguous, or neither.
    enum Order: Sendable, CaseIterable { case rows, columns, neither }

    /// A product with everything around it.
    private struct Case {
        var m: Int, n: Int, k: Int
        var a = Order.rows, b = Order.rows
        var beta: Float = 0
        var panels = false

        static func view(_ data: UnsafePointer<Float>, _ rows: Int, _ columns: Int, _ order: Order)
            -> eft_view
        {
            switch order {
            case .rows: eft_view(data: data, row_stride: columns + 1, column_stride: 1)
            case .columns: eft_view(data: data, row_stride: 1, column_stride: rows + 2)
            case .neither: eft_view(data: data, row_stride: 2, column_stride: 2 * rows + 1)
            }
        }

        func run(_ context: OpaquePointer) -> (found: [Float], wanted: [Double]) {
            var noise = Noise(m + 100 * n + 10_000 * k)
            let a = noise.numbers((m + 2) * (k + 2) * 2), b = noise.numbers((k + 2) * (n + 2) * 2)
            let rowStride = panels ? 16 : n + 1, panelStride = panels ? 16 * m : 16
            var c = noise.numbers(panels ? (n + 15) / 16 * 16 * m : m * (n + 1))
            if beta == 0 { c[0] = .nan }
            var wanted = c.doubles
            let bytes = eft_gemm_workspace(context, m, n, k)
            let workspace = Chunk(bytes + 64)
            a.withUnsafeBufferPointer { a in
                b.withUnsafeBufferPointer { b in
                    guard let a = a.baseAddress, let b = b.baseAddress else { return }
                    let va = Self.view(a, m, k, self.a), vb = Self.view(b, k, n, self.b)
                    for i in 0..<m {
                        for j in 0..<n {
                            var sum = 0.0
                            for l in 0..<k {
                                sum +=
                                    Double(a[i * va.row_stride + l * va.column_stride])
                                    * Double(b[l * vb.row_stride + j * vb.column_stride])
                            }
                            let at = j / 16 * panelStride + i * rowStride + j % 16
                            wanted[at] = 1.5 * sum + (beta == 0 ? 0 : Double(beta) * wanted[at])
                        }
                    }
                    eft_gemm(
                        context, m, n, k, 1.5, va, vb, beta, &c, rowStride, panelStride,
                        workspace.bytes)
                }
            }
            let rest = UnsafeRawBufferPointer(start: workspace.bytes + bytes, count: 64)
            #expect(rest.allSatisfy { $0 == 0xff }, "wrote beyond its workspace")
            return (c, wanted)
        }
    }

    @Test(arguments: KernelLevel.all, Order.allCases)
    func `equals the product in f64`(level: KernelLevel, order: Order) throws {
        for (i, m) in [1, 5, 6, 7, 13, 25].enumerated() {
            for (j, n) in [1, 15, 16, 17, 65, 100].enumerated() {
                let other = Order.allCases[(i + j) % 3]
                var shape = Case(m: m, n: n, k: [1, 31, 32, 100][(i + j) % 4], a: order, b: other)
                shape.beta = j % 2 == 0 ? 0 : 0.5
                shape.panels = i % 2 == 0
                let (found, wanted) = try level.run(threads: j % 3 + 1) { shape.run($0) }
                #expect(distance(found, wanted) < 1e-5, "\(shape)")
            }
        }
    }

    /// Products of a LoRA adapter, several folds deep, and blocks of many jobs.
    @Test(arguments: KernelLevel.all)
    func `thin and deep products are right`(level: KernelLevel) throws {
        for shape in [
            Case(m: 130, n: 16, k: 1100, a: .rows, b: .columns),
            Case(m: 130, n: 300, k: 16, a: .rows, b: .rows, beta: 1),
            Case(m: 16, n: 300, k: 600, a: .columns, b: .rows, panels: true),
            Case(m: 250, n: 290, k: 40, a: .columns, b: .columns), Case(m: 3, n: 3, k: 0),
        ] {
            let (found, wanted) = try level.run(threads: 2) { shape.run($0) }
            #expect(distance(found, wanted) < 1e-4, "\(shape)")
        }
    }

    @Test(arguments: KernelLevel.all)
    func `the number of threads and of rows changes no bit`(level: KernelLevel) throws {
        let whole = try level.run { Case(m: 100, n: 70, k: 530, a: .columns).run($0).found }
        for threads in 2...4 {
            let again = try level.run(threads: threads) {
                Case(m: 100, n: 70, k: 530, a: .columns).run($0).found
            }
            #expect(sameBits(Array(whole.dropFirst()), Array(again.dropFirst())))
        }
    }
}
