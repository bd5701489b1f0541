// SPDX-License-Identifier: Apache-2.0
// Divergence of rows of logits and difference of states against f64.
import CEftKernels
import Testing

#if canImport(Glibc)
    import Glibc
#endif

struct DivergenceTests {
    private static func logProbabilities(_ logits: [Double]) -> [Double] {
        let top = logits.max() ?? 0
        let lse = top + log(logits.reduce(0) { $0 + exp($1 - top) })
        return logits.map { $0 - lse }
    }

    private static func best(_ logits: [Double]) -> [Int] {
        Array(
            logits.indices.sorted { (-logits[$0], $0) < (-logits[$1], $1) }.prefix(5))
    }

    private func rows(
        _ level: KernelLevel, _ vocabulary: Int, _ reference: [Float], _ logits: [Float],
        _ labels: [Int32], threads: Int = 1
    ) throws -> [eft_divergence_row] {
        var found = [eft_divergence_row](repeating: eft_divergence_row(), count: labels.count)
        let stride = reference.count / labels.count
        try level.run(threads: threads) {
            eft_divergence(
                $0, labels.count, vocabulary, reference, stride, logits, stride, labels, &found)
        }
        return found
    }

    @Test(arguments: KernelLevel.all, [1, 3, 5, 6, 15, 16, 17, 33, 1000, 40_000])
    func `rows equal the formula`(level: KernelLevel, vocabulary: Int) throws {
        var noise = Noise(vocabulary)
        let count = 4, stride = vocabulary + 3
        let reference = noise.numbers(count * stride, scale: 12)
        // The same with some noise and all shifted, which changes no distribution.
        let logits = zip(reference, noise.numbers(count * stride, scale: 0.5)).map { $0 + $1 + 30 }
        let labels: [Int32] = [0, Int32(vocabulary - 1), -100, Int32(vocabulary / 2)]
        let found = try rows(level, vocabulary, reference, logits, labels, threads: 2)
        for t in 0..<count {
            let row = t * stride..<t * stride + vocabulary
            let (a, b) = (Array(reference[row]).doubles, Array(logits[row]).doubles)
            let (p, q) = (Self.logProbabilities(a), Self.logProbabilities(b))
            let divergence = zip(p, q).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
            #expect(abs(found[t].divergence - divergence) < 1e-6)
            let label = Int(labels[t])
            #expect(abs(found[t].reference_loss - (label < 0 ? 0 : -p[label])) < 2e-6)
            #expect(abs(found[t].loss - (label < 0 ? 0 : -q[label])) < 2e-6)
            let (wanted, other) = (Self.best(a), Self.best(b))
            #expect(found[t].same_best == (wanted[0] == other[0]))
            #expect(found[t].best_count == UInt32(min(5, vocabulary)))
            #expect(found[t].common_best == UInt32(Set(wanted).intersection(other).count))
        }
    }

    @Test(arguments: KernelLevel.all, [1, 4, 17, 5000])
    func `a row does not diverge from itself`(level: KernelLevel, vocabulary: Int) throws {
        var noise = Noise(vocabulary)
        let logits = noise.numbers(vocabulary, scale: 40)
        let found = try rows(level, vocabulary, logits, logits, [0])[0]
        #expect(found.divergence == 0 && found.loss == found.reference_loss)
        #expect(found.same_best && found.common_best == found.best_count)
    }

    @Test(arguments: KernelLevel.all)
    func `of equal logits the first are the likeliest`(level: KernelLevel) throws {
        let reference: [Float] = [1, 1, 1, 1, 1, 1, 1, 1]
        let logits: [Float] = [1, 1, 1, 1, 1, 1, 1, 2]
        let found = try rows(level, 8, reference, logits, [0])[0]
        #expect(!found.same_best && found.common_best == 4)
    }

    @Test(arguments: KernelLevel.all)
    func `broken logits give no number`(level: KernelLevel) throws {
        let whole: [Float] = [1, 2, 3, 4, 5, 6]
        let broken: [Float] = [1, .nan, 3, 4, 5, 6]
        #expect(try rows(level, 6, whole, broken, [0])[0].divergence.isNaN)
        #expect(try rows(level, 6, broken, whole, [0])[0].divergence.isNaN)
    }

    @Test(arguments: KernelLevel.all, oddSizes)
    func `differences equal the formula`(level: KernelLevel, columns: Int) throws {
        var noise = Noise(columns)
        let a = noise.numbers(3 * columns), b = noise.numbers(3 * (columns + 1))
        var found = [eft_difference_row](repeating: eft_difference_row(), count: 3)
        try level.run(threads: 2) {
            eft_difference($0, 3, columns, a, columns, b, columns + 1, &found)
        }
        for t in 0..<3 {
            let (x, y) = (a[t * columns..<(t + 1) * columns], b[(t * (columns + 1))...])
            let difference = zip(x, y).reduce(0) {
                $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1))
            }
            #expect(abs(found[t].difference - difference) <= 1e-12 * max(difference, 1))
            let square = x.reduce(0) { $0 + Double($1) * Double($1) }
            #expect(abs(found[t].square - square) <= 1e-12 * max(square, 1))
        }
    }
}
