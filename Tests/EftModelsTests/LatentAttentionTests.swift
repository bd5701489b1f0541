// SPDX-License-Identifier: Apache-2.0
// What configurations of latent attention say, and what its memory comes to.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

struct LatentAttentionTests {
    private static let names = ["deepseek-v2", "deepseek-v3", "minicpm3"]

    /// DeepSeek's own code scales scores by the square of YaRN's second scale in both generations.
    @Test(arguments: ["deepseek-v2", "deepseek-v3"])
    func `the scale of scores follows from YaRN's second scale`(_ name: String) throws {
        let rope = """
            {"rope_parameters": {"rope_type": "yarn", "rope_theta": 10000, "factor": 40,
             "original_max_position_embeddings": 16, "mscale": 0.707, "mscale_all_dim": 0.707}}
            """
        let model = try describe(name, rope)
        let scale = 0.1 * 0.707 * 3.688879454 + 1
        let found = try #require(model.shape.attentionScale)
        #expect(abs(Double(found) - scale * scale / 12.0.squareRoot()) < 1e-6)
        let plain = #"{"rope_parameters": {"rope_type": "default", "rope_theta": 10000}}"#
        #expect(try describe(name, plain).shape.attentionScale == nil)
    }

    @Test(arguments: [
        ("deepseek-v2", #"{"topk_method": "noaux_tc"}"#, "topk_method"),
        ("deepseek-v2", #"{"norm_topk_prob": true}"#, "norm_topk_prob"),
        ("deepseek-v2", #"{"n_group": 4}"#, "n_group"),
        ("deepseek-v3", #"{"v_head_dim": 13}"#, "v_head_dim"),
        ("deepseek-v3", #"{"qk_rope_head_dim": 3}"#, "qk_rope_head_dim"),
        ("deepseek-v3", #"{"moe_layer_freq": 2}"#, "moe_layer_freq"),
        ("deepseek-v3", #"{"kv_lora_rank": 0}"#, "kv_lora_rank"),
        ("glm4-moe-lite", #"{"mlp_layer_types": ["sparse"]}"#, "mlp_layer_types"),
    ])
    func `contradictory widths and other methods are named errors`(
        _ name: String, _ more: String, _ word: String
    ) throws {
        let error = #expect(throws: (any Error).self) { try describe(name, more) }
        #expect(error.map { "\($0)".contains(word) } == true, "\(String(describing: error))")
    }

    @Test(arguments: names, [true, false])
    func `activations take the memory that was stated`(_ name: String, _ backward: Bool) throws {
        let shape = try describe(name, "{}").shape
        let ledger = MemoryLedger()
        let acts = try LayerActivations(rows: 5, shape: shape, backward: backward, ledger: ledger)
        let stated = LayerActivations.byteCount(rows: 5, shape: shape, backward: backward)
        let used = ledger.peakTotal
        withExtendedLifetime(acts) { #expect(used == stated) }
    }

    @Test func `products that read the same come together`() throws {
        let model = try describe("deepseek-v3", "{}")
        #expect(
            model.attentionStages(layer: 0) == [
                [.queryDown, .latentDown], [.queryUp], [.latentUp], [.output],
            ])
        #expect(
            model.linears(layer: 0).prefix(5).map(\.moduleName) == [
                "q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj",
            ])
        #expect(
            try describe("deepseek-v2", "{}").attentionStages(layer: 0)[0] == [.query, .latentDown])
    }
}
