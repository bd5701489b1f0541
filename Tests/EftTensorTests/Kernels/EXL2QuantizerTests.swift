// SPDX-License-Identifier: Apache-2.0
// The kernels of the EXL2 quantizer: the same bits at every level, and what the definitions say.
import CEftKernels
import Testing

struct EXL2QuantizerTests {
    private static let widths: [UInt32] = [2, 3, 4, 5, 6, 8]
    private static let shapes = [(32, 1), (32, 15), (64, 16), (96, 33), (160, 70), (288, 128)]

    /// Column scales that leave some numbers beyond the codes.
    private static func scales(_ columns: Int, bits: UInt32) -> [Float] {
        (0..<columns).map {
            let scale = Float(Float16(1.6 / Float(1 << bits) * (0.5 + Float($0 % 7) * 0.25)))
            return $0 % 19 == 18 ? 0 : scale
        }
    }

    /// A sum by the definition, in f64.
    private static func loss(_ x: Float, scale: Float, bits: UInt32) -> Double {
        let middle = Double(1 << (bits - 1))
        let code = (Double(x) / Double(scale)).rounded(.toNearestOrEven)
        let distance = abs(max(-middle, min(code, middle - 1)) * Double(scale) - Double(x))
        return distance * distance * distance * distance.squareRoot()
    }

    @Test(arguments: shapes, [2, 4, 8] as [UInt32])
    func `error sums are the same bits at every level, and near the definition`(
        _ shape: (Int, Int), bits: UInt32
    ) throws {
        let (rows, columns) = shape
        var noise = Noise(rows + columns)
        let x = noise.numbers(rows * columns, scale: 0.5)
        let steps = Self.scales(columns, bits: bits).map { max($0, 0.01) }
        let factors = (0..<131).map { 0.7 + Float($0) / 260 }
        func sums(_ level: KernelLevel, threads: Int) throws -> [Double] {
            var sums = [Double](repeating: -1, count: factors.count)
            var workspace = [UInt8](
                repeating: 0, count: eft_exl2_errors_workspace(columns, factors.count))
            try level.run(threads: threads) {
                eft_exl2_errors(
                    $0, rows, columns, bits, x, steps, factors.count, factors, &sums, &workspace)
            }
            return sums
        }
        let wanted = try sums(KernelLevel.all[0], threads: 1)
        for level in KernelLevel.all { #expect(try sums(level, threads: 2) == wanted) }
        for (factor, sum) in zip(factors, wanted).prefix(3) {
            var exact = 0.0
            for row in 0..<rows {
                for column in 0..<columns {
                    exact += Self.loss(
                        x[row * columns + column], scale: steps[column] * factor, bits: bits)
                }
            }
            // A number between two codes may go to either.
            #expect(abs(sum - exact) <= 1e-4 * exact)
        }
    }

    @Test(arguments: shapes, widths)
    func `scales that lose least are the same at every level, and by the definition`(
        _ shape: (Int, Int), bits: UInt32
    ) throws {
        let (rows, columns) = shape
        var noise = Noise(rows + 5 * columns)
        let x = noise.numbers(rows * columns, scale: 0.5)
        let weights = noise.numbers(rows).map { abs($0) + 0.01 }
        let least = (0..<columns).map { _ in (abs(noise.number()) + 0.1) / Float(1 << bits) }
        let steps = (1...5).map { Float(Float16(Float($0) * 0.002 / Float(1 << bits))) }
        let tried = 4
        func fitted(_ level: KernelLevel, threads: Int) throws -> ([Double], [UInt8]) {
            var sums = [Double](repeating: -1, count: steps.count)
            var choices = [UInt8](repeating: 0, count: steps.count * columns)
            var workspace = [Double](
                repeating: 0,
                count: eft_exl2_fit_workspace(threads, rows, columns, steps.count) / 8 + 1)
            try level.run(threads: threads) { context in
                x.withUnsafeBufferPointer { x in
                    weights.withUnsafeBufferPointer { weights in
                        least.withUnsafeBufferPointer { least in
                            steps.withUnsafeBufferPointer { steps in
                                var fit = eft_exl2_fit(
                                    rows: rows, columns: columns, bits: bits, x: x.baseAddress,
                                    row_weights: weights.baseAddress, least: least.baseAddress,
                                    tried: tried, count: steps.count, steps: steps.baseAddress)
                                eft_exl2_fit_scales(context, &fit, &sums, &choices, &workspace)
                            }
                        }
                    }
                }
            }
            return (sums, choices)
        }
        let wanted = try fitted(KernelLevel.all[0], threads: 1)
        for level in KernelLevel.all { #expect(try fitted(level, threads: 2) == wanted) }
        func loss(_ column: Int, _ scale: Double) -> Double {
            let middle = Double(1 << (bits - 1))
            return (0..<rows).reduce(0) { sum, row in
                let value = Double(x[row * columns + column])
                let code = (value / scale).rounded(.toNearestOrEven)
                let distance = max(-middle, min(code, middle - 1)) * scale - value
                return sum + Double(weights[row]) * distance * distance
            }
        }
        for (index, step) in steps.enumerated() {
            var sum = 0.0
            for column in 0..<columns {
                let first = (1...16).first { Float($0 * $0) * step >= least[column] } ?? 16
                let losses = (0..<tried).map { offset in
                    let s = min(first + offset, 16)
                    return loss(column, Double(Float16(Float(s * s) * step)))
                }
                let chosen = Float(wanted.1[index * columns + column])
                let best = losses.min() ?? 0
                #expect(loss(column, Double(Float16(chosen * chosen * step))) <= best * 1.0001)
                sum += best
            }
            #expect(abs(wanted.0[index] / sum - 1) < 1e-4)
        }
    }

    @Test(arguments: shapes, widths)
    func `scales of single columns are the same at every level, and lose least by the definition`(
        _ shape: (Int, Int), bits: UInt32
    ) throws {
        let (rows, columns) = shape
        var noise = Noise(rows + 7 * columns)
        var x = noise.numbers(rows * columns, scale: 0.5)
        // A column of nothing.
        if columns > 3 { for row in 0..<rows { x[row * columns + 3] = 0 } }
        let weights = noise.numbers(rows).map { abs($0) + 0.01 }
        let largest = (0..<columns).map { column in
            (0..<rows).reduce(0) { max($0, abs(x[$1 * columns + column])) }
                / (Float((1 << bits) - 1) / 2)
        }
        let shares: [Float] = [0.3, 0.5, 0.7, 0.9, 1, 1.2]
        func fitted(_ level: KernelLevel, threads: Int) throws -> [Float] {
            var scales = [Float](repeating: -1, count: columns)
            var workspace = [UInt8](repeating: 0, count: eft_column_fit_workspace(threads, rows))
            try level.run(threads: threads) { context in
                x.withUnsafeBufferPointer { x in
                    weights.withUnsafeBufferPointer { weights in
                        largest.withUnsafeBufferPointer { largest in
                            shares.withUnsafeBufferPointer { shares in
                                scales.withUnsafeMutableBufferPointer { scales in
                                    var fit = eft_column_fit(
                                        rows: rows, columns: columns, bits: bits,
                                        x: x.baseAddress, row_weights: weights.baseAddress,
                                        largest: largest.baseAddress, count: shares.count,
                                        shares: shares.baseAddress, scales: scales.baseAddress)
                                    eft_column_fit_scales(context, &fit, &workspace)
                                }
                            }
                        }
                    }
                }
            }
            return scales
        }
        let wanted = try fitted(KernelLevel.all[0], threads: 1)
        for level in KernelLevel.all { #expect(try fitted(level, threads: 2) == wanted) }
        let middle = Double(1 << (bits - 1))
        for column in 0..<columns {
            func loss(_ scale: Float) -> Double {
                (0..<rows).reduce(0) { sum, row in
                    let value = Double(x[row * columns + column])
                    let code = (value / Double(scale)).rounded(.toNearestOrEven)
                    let distance = max(-middle, min(code, middle - 1)) * Double(scale) - value
                    return sum + Double(weights[row]) * distance * distance
                }
            }
            guard largest[column] > 0 else {
                #expect(wanted[column] == 0)
                continue
            }
            let tried = shares.map { Float(Float16(largest[column] * $0)) }
            #expect(tried.contains(wanted[column]))
            #expect(loss(wanted[column]) <= (tried.map(loss).min() ?? 0) * 1.0001)
        }
    }

    /// What GPTQ's correction of a group leaves.
    private struct Corrected: Equatable {
        let w: [Float]
        let codes: [UInt8]
        let errors: [Float]
        let energies: [Double]
    }

    private static func correct(
        _ context: OpaquePointer, _ rows: Int, _ columns: Int, _ bits: UInt32, _ scales: [Float],
        _ factor: [Float], _ w: UnsafeMutableBufferPointer<Float>,
        _ codes: UnsafeMutableBufferPointer<UInt8>, _ errors: UnsafeMutableBufferPointer<Float>,
        _ energies: UnsafeMutableBufferPointer<Double>, _ workspace: UnsafeMutableRawPointer,
        exact: Bool
    ) {
        scales.withUnsafeBufferPointer { scales in
            factor.withUnsafeBufferPointer { factor in
                var rounding = eft_exl2_rounding(
                    rows: rows, columns: columns, bits: bits, scales: scales.baseAddress,
                    factor: factor.baseAddress, ldf: rows, w: w.baseAddress,
                    codes: codes.baseAddress, errors: errors.baseAddress,
                    energies: energies.baseAddress, exact: exact)
                eft_exl2_correct(context, &rounding, workspace)
            }
        }
    }

    private static func factor(_ rows: Int, _ noise: inout Noise) -> [Float] {
        let random = noise.numbers(rows * rows, scale: 0.03)
        return random.enumerated().map { index, value in
            let (row, column) = (index / rows, index % rows)
            return row == column ? 1 + abs(value) : column > row ? value : 1e9
        }
    }

    @Test(arguments: shapes, widths)
    func `correction is the same bits at every level, and keeps what the errors say`(
        _ shape: (Int, Int), bits: UInt32
    ) throws {
        let (rows, columns) = shape
        // Some shapes for values of GPTQ's files, which are not rounded to halves.
        let exact = (rows + columns) % 2 == 1
        var noise = Noise(rows * columns)
        let w = noise.numbers(rows * columns, scale: 0.5)
        let factor = Self.factor(rows, &noise)
        let scales = Self.scales(columns, bits: bits)
        func corrected(_ level: KernelLevel, threads: Int) throws -> Corrected {
            var held = w
            var codes = [UInt8](repeating: 255, count: w.count)
            var errors = [Float](repeating: -1, count: w.count)
            var energies = [Double](repeating: 0.5, count: columns)
            var workspace = [UInt8](repeating: 0, count: eft_exl2_correct_workspace(threads, rows))
            try level.run(threads: threads) { context in
                held.withUnsafeMutableBufferPointer { w in
                    codes.withUnsafeMutableBufferPointer { codes in
                        errors.withUnsafeMutableBufferPointer { errors in
                            energies.withUnsafeMutableBufferPointer { energies in
                                Self.correct(
                                    context, rows, columns, bits, scales, factor, w, codes, errors,
                                    energies, &workspace, exact: exact)
                            }
                        }
                    }
                }
            }
            return Corrected(w: held, codes: codes, errors: errors, energies: energies)
        }
        let wanted = try corrected(KernelLevel.all[0], threads: 1)
        for level in KernelLevel.all { #expect(try corrected(level, threads: 2) == wanted) }
        let middle = Float(1 << (bits - 1))
        let isHeld = wanted.w.indices.allSatisfy { place in
            let value = (Float(wanted.codes[place]) - middle) * scales[place % columns]
            return UInt32(wanted.codes[place]) < 1 << bits
                && wanted.w[place] == (exact ? value : Float(Float16(value)))
        }
        #expect(isHeld)
        // W - Q = U' E.
        for column in stride(from: 0, to: columns, by: 7) {
            var energy = 0.5
            for row in 0..<rows {
                var change = 0.0
                for above in 0...row {
                    change +=
                        Double(factor[above * rows + row])
                        * Double(wanted.errors[above * columns + column])
                }
                let place = row * columns + column
                #expect(abs(change - Double(w[place] - wanted.w[place])) < 1e-3)
                energy += Double(wanted.errors[place]) * Double(wanted.errors[place])
            }
            #expect(abs(wanted.energies[column] / energy - 1) < 1e-9)
        }
    }

    /// A positive definite matrix whose numbers above the diagonal are never to be read.
    private static func hessian(_ rows: Int, _ noise: inout Noise) -> [Float] {
        let lines = (0..<rows).map { _ in noise.numbers(8) }
        return (0..<rows * rows).map { place in
            let (row, column) = (place / rows, place % rows)
            var product: Float = 0
            for (a, b) in zip(lines[row], lines[column]) { product += a * b }
            return column > row ? .nan : product + (row == column ? 1 : 0)
        }
    }

    @Test(arguments: [(32, 1), (64, 16), (96, 33), (128, 70)], [2, 3, 8] as [UInt32])
    func `descent is the same bits at every level, and lowers the loss`(
        _ shape: (Int, Int), bits: UInt32
    ) throws {
        let (rows, columns) = shape
        let exact = columns % 2 == 1
        var noise = Noise(rows * columns + 7)
        let wanted = noise.numbers(rows * columns, scale: 0.5)
        let hessian = Self.hessian(rows, &noise)
        let scales = Self.scales(columns, bits: bits)
        var start = wanted
        try KernelLevel.all[0].run(threads: 1) {
            eft_exl2_losses($0, rows, columns, bits, scales, false, &start)
        }
        // Plainly rounded, in rows that are two numbers longer.
        let ldw = columns + 2
        start = (0..<rows * ldw).map { place in
            let (row, column) = (place / ldw, place % ldw)
            guard column < columns else { return 9 }
            return wanted[row * columns + column] - start[row * columns + column]
        }
        func h(_ row: Int, _ column: Int) -> Double {
            Double(hessian[max(row, column) * rows + min(row, column)])
        }
        func differences(_ w: [Float], _ column: Int) -> [Double] {
            (0..<rows).map {
                Double(w[$0 * ldw + column]) - Double(wanted[$0 * columns + column])
            }
        }
        var gradient = [Float](repeating: 0, count: rows * columns)
        for column in 0..<columns {
            let d = differences(start, column)
            for row in 0..<rows {
                var sum = 0.0
                for other in 0..<rows { sum += h(row, other) * d[other] }
                gradient[row * columns + column] = Float(sum)
            }
        }
        func descended(_ level: KernelLevel, threads: Int) throws -> (w: [Float], by: [Float]) {
            var (w, changes) = (start, [Float](repeating: .nan, count: rows * columns))
            var workspace = [Float](
                repeating: 0, count: eft_exl2_correct_workspace(threads, rows) / 4)
            try level.run(threads: threads) { context in
                scales.withUnsafeBufferPointer { scales in
                    hessian.withUnsafeBufferPointer { hessian in
                        gradient.withUnsafeBufferPointer { gradient in
                            w.withUnsafeMutableBufferPointer { w in
                                changes.withUnsafeMutableBufferPointer { changes in
                                    var descent = eft_exl2_descent(
                                        rows: rows, columns: columns, bits: bits,
                                        scales: scales.baseAddress, hessian: hessian.baseAddress,
                                        ldh: rows, gradient: gradient.baseAddress,
                                        w: w.baseAddress, ldw: ldw, changes: changes.baseAddress,
                                        exact: exact)
                                    eft_exl2_descend(context, &descent, &workspace)
                                }
                            }
                        }
                    }
                }
            }
            return (w, changes)
        }
        let found = try descended(KernelLevel.all[0], threads: 1)
        for level in KernelLevel.all {
            let other = try descended(level, threads: 2)
            #expect(other.w == found.w && other.by == found.by)
        }
        let isMoved = start.indices.allSatisfy { place in
            let (row, column) = (place / ldw, place % ldw)
            guard column < columns else { return found.w[place] == 9 }
            return found.by[row * columns + column] == found.w[place] - start[place]
        }
        #expect(isMoved)
        var (before, after) = (0.0, 0.0)
        for column in stride(from: 0, to: columns, by: 5) {
            func loss(_ w: [Float]) -> Double {
                let d = differences(w, column)
                var sum = 0.0
                for row in 0..<rows {
                    for other in 0..<rows { sum += d[row] * h(row, other) * d[other] }
                }
                return sum
            }
            let (old, new) = (loss(start), loss(found.w))
            #expect(new <= old * (1 + 1e-6))
            before += old
            after += new
        }
        #expect(rows == 32 || after < 0.97 * before)
    }

    @Test(arguments: shapes, widths)
    func `plain rounding loses the same bits at every level`(
        _ shape: (Int, Int), bits: UInt32
    ) throws {
        let (rows, columns) = shape
        var noise = Noise(rows + 3 * columns)
        let x = noise.numbers(rows * columns, scale: 0.5)
        let scales = Self.scales(columns, bits: bits)
        for (level, exact) in KernelLevel.all.flatMap({ [($0, false), ($0, true)] }) {
            var losses = x
            try level.run(threads: 2) {
                eft_exl2_losses($0, rows, columns, bits, scales, exact, &losses)
            }
            let middle = Float(1 << (bits - 1))
            let isRight = x.indices.allSatisfy { index in
                let scale = scales[index % columns]
                let steps = scale > 0 ? (x[index] / scale).rounded(.toNearestOrEven) : 0
                let value = max(-middle, min(steps, middle - 1)) * scale
                let held = exact ? value : Float(Float16(value))
                return losses[index] == x[index] - held
            }
            #expect(isRight)
        }
    }

    @Test(arguments: shapes, widths)
    func `words hold a stream of bits down the columns`(
        _ shape: (Int, Int), bits: UInt32
    ) throws {
        let (rows, columns) = shape
        var state = UInt32(truncatingIfNeeded: rows)
        let codes = (0..<rows * columns).map { _ in
            state = state &* 1_664_525 &+ 1_013_904_223
            return UInt8(state >> 24 & ((1 << bits) - 1))
        }
        let padded = (columns + 31) / 32 * 32
        for level in KernelLevel.all {
            var words = [UInt32](repeating: .max, count: rows / 32 * Int(bits) * padded)
            try level.run(threads: 2) { eft_exl2_words($0, rows, columns, bits, codes, &words) }
            var wrong = 0
            for column in 0..<padded {
                for row in 0..<rows {
                    let code = column < columns ? codes[row * columns + column] : 1 << (bits - 1)
                    var found: UInt8 = 0
                    for bit in 0..<Int(bits) {
                        let place = row * Int(bits) + bit
                        let word = words[place / 32 * padded + column]
                        found |= UInt8(word >> UInt32(place % 32) & 1) << UInt8(bit)
                    }
                    if found != code { wrong += 1 }
                }
            }
            #expect(wrong == 0)
            let scales = Self.scales(columns, bits: bits)
            let inputs = (0..<32).map { UInt32(($0 * 7 + 5) % 32) }
            var values = [Float](repeating: 9, count: columns * 40)
            eft_exl2_values(
                level.isa, columns, bits, words, padded, scales, inputs, &values, 40)
            let isRight = values.indices.allSatisfy { place in
                let (column, input) = (place / 40, place % 40)
                guard let row = inputs.firstIndex(of: UInt32(input)) else {
                    return values[place] == 9
                }
                let steps = Float(codes[row * columns + column]) - Float(1 << (bits - 1))
                return values[place] == Float(Float16(steps * scales[column]))
            }
            #expect(isRight)
        }
    }

    @Test(arguments: [(1, 32), (15, 64), (16, 32), (70, 96)])
    func `weights are put in order, and compared`(outputs: Int, inputs: Int) throws {
        var noise = Noise(outputs)
        let x = noise.numbers(outputs * inputs, scale: 1)
        let order = (0..<inputs).map { UInt32(($0 * 5 + 3) % inputs) }
        let width = outputs + 3
        for level in KernelLevel.all {
            var y = [Float](repeating: 9, count: inputs * width)
            try level.run(threads: 2) {
                eft_transpose_ordered($0, outputs, inputs, x, order, &y, width)
            }
            for (input, row) in order.enumerated() {
                for output in 0..<width {
                    let wanted = output < outputs ? x[output * inputs + input] : 9
                    #expect(y[Int(row) * width + output] == wanted)
                }
            }
            var sums = [Double](repeating: -1, count: outputs)
            func compare() throws {
                try level.run(threads: 2) {
                    eft_squared_changes($0, outputs, inputs, x, order, y, width, &sums)
                }
            }
            try compare()
            #expect(sums.allSatisfy { $0 == 0 })
            y[(inputs - 1) * width + outputs - 1] += 0.5
            y[outputs - 1] -= 0.25
            try compare()
            #expect(sums.dropLast().allSatisfy { $0 == 0 })
            #expect(abs((sums.last ?? 0) - 0.3125) < 1e-6)
        }
    }

    @Test func `the largest magnitude of each column`() throws {
        var noise = Noise(4)
        let x = noise.numbers(64 * 70, scale: 1)
        var most = [Float](repeating: -1, count: 70)
        try KernelLevel.all[0].run(threads: 2) { eft_exl2_largest($0, 64, 70, x, &most) }
        for column in 0..<70 {
            let wanted = (0..<64).map { abs(x[$0 * 70 + column]) }.max()
            #expect(most[column] == wanted)
        }
    }
}
