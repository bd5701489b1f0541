// SPDX-License-Identifier: Apache-2.0
// What puts a quantized matrix together, whatever the file format.
import EftQuant
import EftTensor

/// Takes the groups of a matrix as GPTQ finds them, and makes the tensors of a file.
package protocol LinearPacker {
    /// Takes a group's codes `[rows of the group][N]`, in stored order, and its scales.
    func take(
        group index: Int, codes: UnsafeBufferPointer<UInt8>, scales: GroupScales,
        workers: CPUBackend)

    /// The tensors of a module, once all groups are there.
    /// - Parameters:
    ///   - permutation: the input that each stored row multiplies.
    ///   - bias: half bits [N], where there is one.
    /// - Throws: `FormatError`, `TensorError`.
    func tensors(
        module: String, permutation: [UInt32], bias: [UInt16]?, workers: CPUBackend
    ) throws -> [EncodedTensor]
}

extension EXL2Packer: LinearPacker {
    package func take(
        group index: Int, codes: UnsafeBufferPointer<UInt8>, scales: GroupScales,
        workers: CPUBackend
    ) {
        setGroup(
            index, codes: codes, scaleCodes: scales.codes, scaleMax: scales.scaleMax,
            workers: workers)
    }

    package func tensors(
        module: String, permutation: [UInt32], bias: [UInt16]?, workers: CPUBackend
    ) throws -> [EncodedTensor] {
        try tensors(module: module, permutation: permutation, bias: bias)
    }
}

extension GPTQPacker: LinearPacker {
    package func take(
        group index: Int, codes: UnsafeBufferPointer<UInt8>, scales: GroupScales,
        workers: CPUBackend
    ) {
        setGroup(index, codes: codes, scales: scales.own)
    }
}
