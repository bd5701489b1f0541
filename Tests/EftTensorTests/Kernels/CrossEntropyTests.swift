// SPDX-License-Identifier: Apache-2.0
// Cross entropy against f64, its gradient against differences.
import CEftKernels
import Testing

#if canImport(Glibc)
    import Glibc
#endif

struct CrossEntropyTests {
    private static func loss(
        _ logits: [Double], _ label: Int, smoothing: Double = 0
    ) -> Double {
        let top = logits.max() ?? 0
        let lse = top + log(logits.reduce(0) { $0 + exp($1 - top) })
        let mean = logits.reduce(0, +) / Double(logits.count)
        return lse - (1 - smoothing) * logits[label] - smoothing * mean
    }

    @Test(arguments: KernelLevel.all, [1, 15, 16, 17, 33, 511, 513, 1000, 40_000])
    func `losses and gradients equal the formula`(level: KernelLevel, vocabulary: Int) throws {
        var noise = Noise(vocabulary)
        let rows = 4, ld = vocabulary + 3
        let logits = noise.numbers(rows * ld, scale: 15)
        let labels: [Int32] = [0, Int32(vocabulary - 1), -100, Int32(vocabulary / 2)]
        var work = logits, losses = [Float](repeating: 9, count: rows)
        try level.run(threads: 2) {
            eft_cross_entropy($0, rows, vocabulary, &work, ld, labels, 0, 0, &losses)
            #expect(sameBits(work, logits))
            eft_cross_entropy($0, rows, vocabulary, &work, ld, labels, 0.5, 0, &losses)
        }
        for t in 0..<rows {
            let row = Array(logits[t * ld..<t * ld + vocabulary]).doubles
            let found = Array(work[t * ld..<t * ld + vocabulary])
            #expect(
                work[t * ld + vocabulary..<(t + 1) * ld].elementsEqual(
                    logits[t * ld + vocabulary..<(t + 1) * ld]))
            guard labels[t] >= 0 else {
                #expect(losses[t] == 0 && found.allSatisfy { $0 == 0 })
                continue
            }
            let label = Int(labels[t]), loss = Self.loss(row, label)
            #expect(distance([losses[t]], [loss]) < 1e-6)
            let lse = loss + row[label]
            let wanted = row.indices.map { (exp(row[$0] - lse) - ($0 == label ? 1 : 0)) * 0.5 }
            #expect(distance(found, wanted, floor: 1e-12) < 4e-6)
        }
    }

    @Test(arguments: KernelLevel.all, [0, 0.1, 1])
    func `the gradient equals differences`(level: KernelLevel, smoothing: Double) throws {
        var noise = Noise(2)
        let logits = noise.numbers(50, scale: 4)
        var work = logits, losses: [Float] = [0]
        try level.run {
            eft_cross_entropy($0, 1, 50, &work, 50, [7], 1, Float(smoothing), &losses)
        }
        let loss = Self.loss(logits.doubles, 7, smoothing: smoothing)
        #expect(distance(losses, [loss]) < 1e-6)
        let wanted = slopes(at: logits.doubles) { Self.loss($0, 7, smoothing: smoothing) }
        #expect(distance(work, wanted) < 1e-6)
    }

    @Test(arguments: KernelLevel.all)
    func `huge, masked and broken logits`(level: KernelLevel) throws {
        var losses: [Float] = [0]
        // A label with all the probability keeps the small loss's digits.
        var sure = [Float](repeating: 0, count: 600)
        sure[599] = 20
        try level.run { eft_cross_entropy($0, 1, 600, &sure, 600, [599], 1, 0, &losses) }
        let wanted = log1p(599 * exp(-20.0))
        #expect(abs(Double(losses[0]) - wanted) < 1e-6)
        #expect(distance([sure[599]], [expm1(-wanted)], floor: 1e-12) < 1e-5)

        var huge: [Float] = [1e30, -1e30, 3]
        try level.run { eft_cross_entropy($0, 1, 3, &huge, 3, [0], 1, 0, &losses) }
        #expect(losses == [0] && huge == [0, 0, 0])

        var masked = [Float](repeating: -.infinity, count: 1200)
        masked[1100] = 2
        masked[3] = 2
        try level.run { eft_cross_entropy($0, 1, 1200, &masked, 1200, [3], 1, 0, &losses) }
        #expect(distance(losses, [log(2.0)]) < 1e-6)
        #expect(masked[1100] == 0.5 && masked[3] == -0.5 && masked[4] == 0)

        for place in [0, 16, 599] {
            var broken = [Float](repeating: -.infinity, count: 600)
            broken[1] = 1
            broken[place] = .nan
            try level.run { eft_cross_entropy($0, 1, 600, &broken, 600, [1], 1, 0, &losses) }
            #expect(losses[0].isNaN)
        }
        var beyond: [Float] = [1, 2]
        try level.run { eft_cross_entropy($0, 1, 2, &beyond, 2, [2], 1, 0, &losses) }
        #expect(losses[0].isNaN && beyond == [0, 0])
    }

    @Test(arguments: KernelLevel.all)
    func `neither threads nor rows change a bit`(level: KernelLevel) throws {
        var noise = Noise(6)
        let rows = 9, vocabulary = 3001
        let logits = noise.numbers(rows * vocabulary, scale: 9)
        let labels = (0..<rows).map { Int32($0 * 300) }
        var gradients: [[Float]] = [], losses: [[Float]] = []
        for threads in 1...3 {
            var work = logits, loss = [Float](repeating: 0, count: rows)
            try level.run(threads: threads) {
                eft_cross_entropy($0, rows, vocabulary, &work, vocabulary, labels, 0.1, 0, &loss)
            }
            gradients.append(work)
            losses.append(loss)
        }
        #expect(sameBits(gradients[0], gradients[1]) && sameBits(gradients[0], gradients[2]))
        #expect(sameBits(losses[0], losses[1]) && sameBits(losses[0], losses[2]))
        var alone = Array(logits[5 * vocabulary..<6 * vocabulary]), loss: [Float] = [0]
        try level.run {
            eft_cross_entropy($0, 1, vocabulary, &alone, vocabulary, [1500], 0.1, 0, &loss)
        }
        #expect(loss[0] == losses[0][5])
        #expect(sameBits(alone, Array(gradients[0][5 * vocabulary..<6 * vocabulary])))
    }
}
