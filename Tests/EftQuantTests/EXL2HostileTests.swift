// SPDX-License-Identifier: Apache-2.0
import EftFormats
import EftQuant
import EftTensor
import Testing

/// Damaged EXL2 tensors.
struct EXL2HostileTests {
    private let matrix: EXL2Matrix
    private let good: MemoryCheckpoint

    init() throws {
        // 192 inputs, 40 outputs; groups of (6, 32), (4, 64), (3, 64), (3, 32) in packed rows 0, 6, 14, 20 of 23.
        matrix = try #require(EXL2Matrix.all.first { $0.name == "mixed" })
        good = try matrix.checkpoint()
    }

    private func refusal(
        of checkpoint: MemoryCheckpoint, inputs: Int? = nil, outputs: Int? = nil
    ) -> FormatError? {
        #expect(throws: FormatError.self) {
            try LinearSource(
                module: "m", checkpoint: checkpoint, inputs: inputs ?? matrix.inputs,
                outputs: outputs ?? matrix.outputs
            ).load(as: .asStored, backend: CPUBackend(threads: 1))
        }
    }

    private static func words(_ values: [UInt16]) -> [UInt8] {
        values.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }
    }

    @Test(arguments: [
        [6, 1, 4, 6, 3, 14, 3, 20],
        [6, 0, 4, 6, 3, 14, 3, 14],
        [6, 0, 4, 14, 3, 6, 3, 20],
        [6, 0, 4, 6, 3, 14, 3, 23],
        [6, 0, 4, 6, 3, 14, 3, 65535],
        [7, 0, 4, 6, 3, 14, 3, 20],
        [0, 0, 4, 6, 3, 14, 3, 20],
        [65535, 0, 4, 6, 3, 14, 3, 20],
        [3, 0, 4, 6, 3, 14, 3, 20],
        [6, 0, 4, 7, 3, 14, 3, 20],
        [6, 0, 4, 6, 3, 14, 2, 20],
        [6, 0, 4, 6, 3, 14],
        [6, 0, 4, 6, 3, 14, 3],
        [],
        [1, 0],
    ])
    func `a table of groups that cannot be is refused`(table: [UInt16]) throws {
        var checkpoint = good
        try checkpoint.set("m.q_groups", .i16, [table.count], EXL2HostileTests.words(table))
        let error = refusal(of: checkpoint)
        #expect(error?.code == .damaged)
        #expect(error?.tensor?.hasPrefix("m.q_") == true)
    }

    @Test func `a table longer than the inputs is not read`() throws {
        var checkpoint = good
        try checkpoint.set("m.q_groups", .i16, [14], [UInt8](repeating: 2, count: 28))
        #expect(refusal(of: checkpoint)?.tensor == "m.q_groups")
        try checkpoint.set("m.q_groups", .i16, [2, 4], [UInt8](repeating: 2, count: 16))
        #expect(refusal(of: checkpoint)?.tensor == "m.q_groups")
    }

    @Test(arguments: EXL2Matrix.suffixes)
    func `a missing tensor is named`(suffix: String) throws {
        var checkpoint = good
        checkpoint.remove("m.\(suffix)")
        let error = refusal(of: checkpoint)
        #expect(error?.code == .missing)
        let expected = suffix == "q_weight" ? "m.weight" : "m.\(suffix)"
        #expect(error?.tensor == expected)
    }

    @Test(arguments: EXL2Matrix.suffixes)
    func `a tensor of another type or shape is named`(suffix: String) throws {
        let name = "m.\(suffix)"
        var other = good
        let info = try good.tensor(name)
        try other.set(name, .u8, [info.byteCount], good.bytes(of: name))
        #expect(refusal(of: other)?.tensor == name)

        var flat = good
        try flat.set(name, info.dtype, [1, info.shape.count], good.bytes(of: name))
        #expect(refusal(of: flat)?.tensor == name)

        var empty = good
        try empty.set(name, info.dtype, [0], [])
        #expect(refusal(of: empty)?.tensor?.hasPrefix("m.q_") == true)
    }

    @Test(arguments: [0, 5, 191])
    func `what is no permutation is refused`(entry: Int) throws {
        let bytes = try good.bytes(of: "m.q_invperm")
        let changes: [[UInt8]] = [
            [192, 0, 0, 0], [255, 255, 255, 255], [0, 0, 0, 128],
            Array(bytes[4 * ((entry + 1) % 192)..<4 * ((entry + 1) % 192) + 4]),
        ]
        for change in changes {
            var checkpoint = good
            var changed = bytes
            changed.replaceSubrange(4 * entry..<4 * entry + 4, with: change)
            try checkpoint.set("m.q_invperm", .i32, [192], changed)
            let error = refusal(of: checkpoint)
            #expect(error?.tensor == "m.q_invperm")
            #expect(error?.message.contains("permutation") == true)
        }
    }

    @Test(arguments: [UInt16(0x7C00), 0x7E00, 0xFC00])
    func `a scale that is not finite is refused`(half: UInt16) throws {
        var checkpoint = good
        var bytes = try good.bytes(of: "m.q_scale_max")
        bytes.replaceSubrange(2..<4, with: EXL2HostileTests.words([half]))
        try checkpoint.set("m.q_scale_max", .f16, [4], bytes)
        let error = refusal(of: checkpoint)
        #expect(error?.tensor == "m.q_scale_max")
    }

    @Test func `sizes that disagree with the model are refused`() throws {
        #expect(refusal(of: good, inputs: 160)?.tensor == "m.q_groups")
        #expect(refusal(of: good, outputs: 72)?.message.contains("72") == true)
        #expect(refusal(of: good, outputs: 31)?.tensor == "m.q_weight")
        let error = refusal(of: good, inputs: 190)
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("32") == true)
    }
}
