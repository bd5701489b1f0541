// SPDX-License-Identifier: Apache-2.0
// AWQ weights: `<module>.qweight`, `.qzeros`, `.scales` in AutoAWQ's GEMM order.
import EftFormats

/// A weight that AutoAWQ (or a tool that writes its files) quantized to 4 bits.
///
/// `qweight` [K, N / 8] and `qzeros` [groups, N / 8] in I32, eight outputs a word in the order 0 2 4 6 1 3 5 7; `scales`
/// [groups, N] in real numbers.
package struct AWQScheme: IntegerScheme {
    package static let name = "AWQ"

    package let weight: IntegerWeight
    package let storedTensors: [TensorInfo]

    package static func holds(_ module: String, in checkpoint: any CheckpointReader) -> Bool {
        checkpoint.quantization?.method == .awq && checkpoint.find(module + ".qweight") != nil
    }

    package init(_ module: LinearModule) throws {
        let (inputs, outputs) = (module.inputs, module.outputs)
        guard outputs % 8 == 0 else {
            throw module.error(
                .unsupported, "qweight",
                "AWQ holds multiples of 8 outputs; this layer has \(outputs)")
        }
        let info = try module.tensor("qweight", .i32, [inputs, outputs / 8])
        let count = try module.groupCount("scales")
        let scales = try module.realTensor("scales", [count, outputs])
        let zeros = try module.tensor("qzeros", .i32, [count, outputs / 8])
        guard let groups = IntegerGroups(count: count, inputs: inputs) else {
            throw module.error(
                .unsupported, "scales",
                "\(count) groups do not part \(inputs) inputs by multiples of 32")
        }
        weight = IntegerWeight(
            module: module,
            codes: IntegerCodes(
                info: info, order: .alongOutputs, bits: 4, inputs: inputs, outputs: outputs),
            groups: groups,
            scales: IntegerScales(
                module: module, info: scales, isByOutput: false, zeros: .interleaved(zeros),
                isSymmetric: false, bits: 4, groupCount: count), name: AWQScheme.name)
        storedTensors = [info, zeros, scales]
    }
}
