// SPDX-License-Identifier: Apache-2.0
// Integer weights of compressed-tensors (llm-compressor): `<module>.weight_packed` or signed bytes, and `.weight_scale`.
import EftFormats

/// A weight that llm-compressor quantized to integers of 2 to 8 bits.
///
/// In the form pack-quantized `weight_packed` [N, K bits / 32] and, with zero points, `weight_zero_point` [N bits / 32, groups] in
/// I32, and `weight_shape`; in the form int-quantized `weight` [N, K] and `weight_zero_point` [N, groups] in I8. `weight_scale` is
/// [N, groups], and `weight_g_idx` [K] names the group of each input where groups are not runs. Scales of activations are not
/// used: products are computed with activations as they are.
package struct CompressedScheme: IntegerScheme {
    package static let name = "compressed-tensors"

    package let weight: IntegerWeight
    package let storedTensors: [TensorInfo]

    package static func holds(_ module: String, in checkpoint: any CheckpointReader) -> Bool {
        guard checkpoint.quantization?.method == .compressedTensors else { return false }
        return checkpoint.find(module + ".weight_packed") != nil
            || checkpoint.find(module + ".weight")?.dtype == .i8
    }

    package init(_ module: LinearModule) throws {
        let (inputs, outputs) = (module.inputs, module.outputs)
        let isPacked = module.checkpoint.find(module.name + ".weight_packed") != nil
        let bits: Int
        let info: TensorInfo
        if isPacked {
            info = try module.tensor("weight_packed", .i32)
            bits = try CompressedScheme.bits(info, module)
        } else {
            info = try module.tensor("weight", .i8, [outputs, inputs])
            bits = 8
        }
        let count = try module.groupCount("weight_scale", isByOutput: true)
        let scales = try module.realTensor("weight_scale", [outputs, count])
        var stored = [info, scales]
        var zeros = IntegerScales.Zeros.middle
        if module.checkpoint.find(module.name + ".weight_zero_point") != nil {
            let tensor =
                try isPacked
                ? module.tensor(
                    "weight_zero_point", .i32, [(outputs * bits + 31) / 32, count])
                : module.tensor("weight_zero_point", .i8, [outputs, count])
            zeros = isPacked ? .columns(tensor) : .bytes(tensor)
            stored.append(tensor)
        }
        var groups = IntegerGroups(count: count, inputs: inputs)
        if module.checkpoint.find(module.name + ".weight_g_idx") != nil {
            let index = try module.tensor("weight_g_idx", .i32, [inputs])
            stored.append(index)
            groups = IntegerGroups(
                of: try module.checkpoint.bytes(of: index.name).littleEndian32, count: count)
        }
        guard let groups else {
            throw module.error(
                .unsupported, "weight_scale",
                "\(count) groups do not part \(inputs) inputs by multiples of 32")
        }
        for suffix in ["weight_shape", "input_scale", "input_zero_point"] {
            if let other = module.checkpoint.find(module.name + "." + suffix) {
                stored.append(other)
            }
        }
        var isSymmetric = module.checkpoint.quantization?.isSymmetric ?? false
        if case .middle = zeros { isSymmetric = true }
        weight = IntegerWeight(
            module: module,
            codes: IntegerCodes(
                info: info, order: isPacked ? .rows : .bytes, bits: bits, inputs: inputs,
                outputs: outputs),
            groups: groups,
            scales: IntegerScales(
                module: module, info: scales, isByOutput: true, zeros: zeros,
                isSymmetric: isSymmetric, bits: bits, groupCount: count),
            name: CompressedScheme.name)
        storedTensors = stored
    }

    /// The width of a code, which the columns of the tensor tell.
    private static func bits(
        _ info: TensorInfo, _ module: LinearModule
    ) throws(FormatError) -> Int {
        let dims = info.shape.dims
        guard dims.count == 2, dims[0] == module.outputs,
            let bits = [4, 8, 2, 3, 5, 6, 7].first(where: {
                (module.inputs * $0 + 31) / 32 == dims[1]
            })
        else {
            throw module.wrongShape(
                "weight_packed", found: dims,
                expected: [module.outputs, (module.inputs * 4 + 31) / 32])
        }
        return bits
    }
}
