// SPDX-License-Identifier: Apache-2.0
// Caches outlive the program that wrote them: the form of panels may not change unnoticed.
import EftFormats
import EftModels
import EftQuant
import EftTensor
import EftTestSupport
import Testing

@Suite struct PanelFormTests {
    /// The checksum of the record of a matrix of small whole numbers, stored as f32, bf16 or f16.
    private func checksum(stored dtype: DType, as target: WeightTarget) throws -> String {
        let folder = try TemporaryFolder()
        let (outputs, inputs) = (40, 96)
        let info = try TensorInfo(
            name: "m.weight", dtype: dtype, shape: Shape(outputs, inputs))
        var bytes: [UInt8] = []
        for index in 0..<outputs * inputs {
            let value = Float(index * 37 % 101 - 50) / 64
            func append<T: FixedWidthInteger>(_ bits: T) {
                withUnsafeBytes(of: bits.littleEndian) { bytes += $0 }
            }
            switch dtype {
            case .bf16: append(ElementConversion.bfloat16(value))
            case .f16: append(ElementConversion.half(value))
            default: append(value.bitPattern)
            }
        }
        let writer = try SafetensorsWriter(folder: folder.path, tensors: [info])
        try bytes.withUnsafeBytes { try writer.write(info.name, $0) }
        try writer.finish()
        let backend = try CPUBackend(threads: 1)
        let weight = try LinearSource(
            module: "m", checkpoint: CheckpointFolder.open(folder.path), inputs: inputs,
            outputs: outputs
        ).load(as: target, backend: backend)
        return hash(weight)
    }

    private func hash(_ weight: PackedWeight) -> String {
        var bytes = [UInt8](repeating: 0, count: WeightRecord(weight.layout).byteCount)
        for part in weight.recordParts { bytes.replaceSubrange(part.place, with: part.bytes) }
        return XXH64.hex(bytes.withUnsafeBytes { XXH64.hash($0) })
    }

    // When one of these fails because panels lie in another way now, raise `PanelFile.version` and enter the new ones.
    @Test func `panels lie as version 1 of the cache says`() throws {
        #expect(PanelFile.version == 1)
        let found = [
            try checksum(stored: .f32, as: .asStored), try checksum(stored: .bf16, as: .asStored),
            try checksum(stored: .f16, as: .asStored),
            try checksum(stored: .f32, as: .nf4(doubleQuantization: false)),
        ]
        #expect(
            found == [
                "2687f8c21258c30a", "24a08f2c2fdce57c", "4583f6354c997607", "3ea122645ea8051a",
            ])
        let model = try StreamModel(.exl2)
        let description = try ModelFolder.open(model.path).description
        let linear = description.linear(.query, layer: 1)
        let weight = try LinearSource(
            module: linear.name, checkpoint: CheckpointFolder.open(model.path),
            inputs: linear.inputs, outputs: linear.outputs
        ).load(as: .asStored, backend: CPUBackend(threads: 1))
        #expect(hash(weight) == "aa0f95cb07268354")
    }
}
