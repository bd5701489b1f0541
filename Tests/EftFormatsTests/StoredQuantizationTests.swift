// SPDX-License-Identifier: Apache-2.0
// What config.json says about quantized weights, as the tools write it.
import EftConfig
import EftFormats
import EftTestSupport
import Testing

struct StoredQuantizationTests {
    private func read(_ json: String) throws -> StoredQuantization? {
        try StoredQuantization(ConfigCursor(JSONParser.parse(Array(json.utf8))))
    }

    @Test func `the tools' own descriptions are read`() throws {
        #expect(
            try read(#"{"quant_method": "gptq", "bits": 4, "sym": true, "group_size": 128}"#)
                == StoredQuantization(method: .gptq, isSymmetric: true, storesZerosLessOne: true))
        #expect(
            try read(#"{"quant_method": "gptq", "bits": 4, "checkpoint_format": "gptq_v2"}"#)
                == StoredQuantization(method: .gptq))
        #expect(
            try read(#"{"bits": 4, "group_size": 128, "desc_act": true, "sym": false}"#)
                == StoredQuantization(method: .gptq, storesZerosLessOne: true))
        #expect(
            try read(#"{"zero_point": true, "q_group_size": 128, "w_bit": 4, "version": "GEMM"}"#)
                == StoredQuantization(method: .awq))
        let groups = #""config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int", "#
        #expect(
            try read(
                #"{"quant_method": "compressed-tensors", "format": "pack-quantized", \#(groups)"symmetric": true}}}}"#
            ) == StoredQuantization(method: .compressedTensors, isSymmetric: true))
        #expect(
            try read(
                #"{"quant_method": "compressed-tensors", "format": "pack-quantized", \#(groups)"symmetric": false}}}}"#
            ) == StoredQuantization(method: .compressedTensors))
        #expect(
            try read(#"{"quant_method": "fp8", "weight_block_size": [128, 128]}"#)
                == StoredQuantization(method: .fp8, blockSize: [128, 128]))
        #expect(try read(#"{"quant_method": "bitsandbytes", "load_in_4bit": true}"#) == nil)
        #expect(try read(#"{"quant_method": "exl2", "bits": 4.0}"#) == nil)
    }

    @Test(arguments: [
        #"{"quant_method": "gptq", "checkpoint_format": "marlin"}"#,
        #"{"quant_method": "awq", "version": "gemv"}"#,
        #"{"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"}"#,
    ])
    func `variants that are not read are named`(json: String) throws {
        let error = #expect(throws: ConfigError.self) { try read(json) }
        #expect(error?.message.contains("not read") == true)
    }

    @Test func `a folder tells by either file`() throws {
        let folder = try TemporaryFolder()
        #expect(try StoredQuantization(folder: folder.path) == nil)
        try folder.write("quantize_config.json", #"{"bits": 4, "group_size": 32}"#)
        #expect(try StoredQuantization(folder: folder.path)?.method == .gptq)
        try folder.write("config.json", #"{"quantization_config": {"quant_method": "awq"}}"#)
        #expect(try StoredQuantization(folder: folder.path)?.method == .awq)
    }
}
