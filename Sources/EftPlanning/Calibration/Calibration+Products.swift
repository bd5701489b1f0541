// SPDX-License-Identifier: Apache-2.0
// What a product with a weight of any layout costs on a calibrated machine.
import EftTensor

extension WeightLayout {
    /// The forms of which the weight is made, with the share of inputs and the share of bytes of each.
    var kinds: [(kind: WeightKind, inputs: Double, bytes: Double)] {
        switch format {
        case .f32: return [(.f32, 1, 1)]
        case .f16: return [(.f16, 1, 1)]
        case .bf16: return [(.bf16, 1, 1)]
        case .coded(.nf4, _, _, _), .coded(.fp4, _, _, _): return [(.nf4, 1, 1)]
        // Unpacked with about as many operations.
        case .coded(.e4m3, _, _, _): return [(.exl2(bits: 8), 1, 1)]
        case .coded(.e2m1, _, _, _): return [(.exl2(bits: 4), 1, 1)]
        case .coded(.signed, _, let groups, _):
            var blocks: [Int: Int] = [:]
            for group in groups { blocks[group.bits, default: 0] += group.blocks }
            let all = Double(blocks.values.reduce(0, +))
            let rows = Double(blocks.reduce(0) { $0 + $1.key * $1.value })
            return blocks.sorted { $0.key < $1.key }.map { bits, count in
                (.exl2(bits: bits), Double(count) / all, Double(bits * count) / rows)
            }
        }
    }
}

extension Calibration {
    /// One-row products that reach this share of the fastest form's rate wait for memory, slower ones for unpacking.
    private static let memoryBound = 0.8

    /// The rates of products with a form of weights; those that were not measured count as bound by the limits alone.
    func rates(_ kind: WeightKind) -> ProductRates {
        products[kind]
            ?? ProductRates(
                vectorBytes: limits.readBandwidth, product: [.f32: limits.fmaPeak],
                transposed: [.f32: limits.fmaPeak])
    }

    /// The product of `rows` rows with a weight: reading the weight, or the operations, whichever takes longer.
    func product(
        _ layout: WeightLayout, rows: Int, _ precision: ActivationPrecision, backward: Bool = false
    ) -> ComputeCost {
        let fastest = products.values.reduce(0) { max($0, $1.vectorBytes) }
        let operations = 2 * Double(rows) * Double(layout.inputs) * Double(layout.outputs)
        var (reading, computing, isMemory) = (0.0, 0.0, true)
        for (kind, inputs, bytes) in layout.kinds {
            let rates = rates(kind)
            reading += Double(layout.byteCount) * bytes / rates.vectorBytes
            computing += operations * inputs / rates.operations(precision, backward: backward)
            if rates.vectorBytes < Calibration.memoryBound * fastest { isMemory = false }
        }
        // One row is measured as it is, operations included.
        if rows > 1, computing > reading { return ComputeCost(arithmetic: computing) }
        return isMemory ? ComputeCost(memory: reading) : ComputeCost(arithmetic: reading)
    }
}
