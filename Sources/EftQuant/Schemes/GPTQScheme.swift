// SPDX-License-Identifier: Apache-2.0
// GPTQ weights: `<module>.qweight`, `.qzeros`, `.scales` and `.g_idx`, as AutoGPTQ and GPTQModel write them.
import EftFormats

/// A weight that a GPTQ tool quantized to 2, 3, 4 or 8 bits.
///
/// `qweight` [K bits / 32, N], `qzeros` [groups, N bits / 32] in I32, `scales` [groups, N] in real numbers, `g_idx` [K] in I32:
/// the group of each input, which is not a run of them after quantization by activation order. The first format
/// stores zero points less one (`StoredQuantization.storesZerosLessOne`).
package struct GPTQScheme: IntegerScheme {
    package static let name = "GPTQ"

    package let weight: IntegerWeight
    package let storedTensors: [TensorInfo]

    package static func holds(_ module: String, in checkpoint: any CheckpointReader) -> Bool {
        checkpoint.quantization?.method == .gptq && checkpoint.find(module + ".qweight") != nil
    }

    package init(_ module: LinearModule) throws {
        let (inputs, outputs) = (module.inputs, module.outputs)
        let info = try module.tensor("qweight", .i32)
        let bits = try GPTQScheme.bits(info, module)
        let count = try module.groupCount("scales")
        let scales = try module.realTensor("scales", [count, outputs])
        let zeros = try module.tensor("qzeros", .i32, [count, outputs * bits / 32])
        var stored = [info, zeros, scales]
        var groups = IntegerGroups(count: count, inputs: inputs)
        if module.checkpoint.find(module.name + ".g_idx") != nil {
            let index = try module.tensor("g_idx", .i32, [inputs])
            stored.append(index)
            groups = IntegerGroups(
                of: try module.checkpoint.bytes(of: index.name).littleEndian32, count: count)
        }
        guard let groups else {
            throw module.error(
                .unsupported, "g_idx",
                "does not part the inputs into \(count) groups of multiples of 32")
        }
        let form = module.checkpoint.quantization
        weight = IntegerWeight(
            module: module,
            codes: IntegerCodes(
                info: info, order: .alongInputs, bits: bits, inputs: inputs, outputs: outputs),
            groups: groups,
            scales: IntegerScales(
                module: module, info: scales, isByOutput: false,
                zeros: .stream(zeros, lessOne: form?.storesZerosLessOne ?? true),
                isSymmetric: form?.isSymmetric ?? false, bits: bits, groupCount: count),
            name: GPTQScheme.name)
        storedTensors = stored
    }

    /// The width of a code, which the rows of the tensor tell.
    private static func bits(
        _ info: TensorInfo, _ module: LinearModule
    ) throws(FormatError) -> Int {
        let (inputs, outputs) = (module.inputs, module.outputs)
        guard info.shape.dims.count == 2, info.shape.dims[1] == outputs,
            let bits = [2, 3, 4, 8].first(where: {
                inputs * $0 % 32 == 0 && inputs * $0 / 32 == info.shape.dims[0]
            }),
            inputs % 32 == 0, outputs * bits % 32 == 0
        else {
            throw module.wrongShape(
                "qweight", found: info.shape.dims, expected: [inputs * 4 / 32, outputs])
        }
        return bits
    }
}
