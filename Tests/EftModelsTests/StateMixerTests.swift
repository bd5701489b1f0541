// SPDX-License-Identifier: Apache-2.0
// Models with short convolutions and state spaces in the place of attention: what they read and what they take.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import Testing

@Suite struct StateMixerTests {
    static let names = [
        "lfm2", "lfm2-moe", "granitemoehybrid", "granitemoehybrid-dense",
    ]

    @Test(arguments: [
        ("lfm2", #"{"conv_L_cache": 9}"#, "conv_L_cache"),
        ("lfm2", #"{"conv_bias": true}"#, "conv_bias"),
        ("lfm2", #"{"layer_types": ["conv"]}"#, "layer_types"),
        ("lfm2", #"{"layer_types": ["conv", "mamba"]}"#, "mamba"),
        ("lfm2", #"{"block_multiple_of": 0}"#, "block_multiple_of"),
        ("lfm2", #"{"block_ffn_dim_multiplier": 1e30}"#, "block_ffn_dim_multiplier"),
        ("lfm2", #"{"block_ffn_dim_multiplier": 0.001}"#, "block_ffn_dim_multiplier"),
        ("lfm2-moe", #"{"num_experts_per_tok": 9}"#, "num_experts_per_tok"),
        ("granitemoehybrid", #"{"mamba_n_groups": 3}"#, "mamba_n_groups"),
        ("granitemoehybrid", #"{"mamba_n_heads": 7}"#, "mamba_n_heads"),
        ("granitemoehybrid", #"{"mamba_d_head": 5}"#, "mamba_d_head"),
        ("granitemoehybrid", #"{"mamba_d_conv": 9}"#, "mamba_d_conv"),
        ("granitemoehybrid", #"{"mamba_proj_bias": true}"#, "mamba_proj_bias"),
        ("granitemoehybrid", #"{"time_step_limit": [0.1, 0.5]}"#, "time_step_limit"),
        ("granitemoehybrid", #"{"time_step_limit": [0.0, 0.5]}"#, "time_step_limit"),
        ("granitemoehybrid", #"{"layer_types": ["mamba", "mamba"]}"#, "attention"),
        ("granitemoehybrid", #"{"layer_types": ["mamba", "conv"]}"#, "conv"),
        ("granitemoehybrid", #"{"layer_types": ["mamba"]}"#, "layer_types"),
        ("granitemoehybrid", #"{"hidden_act": "gelu"}"#, "hidden_act"),
    ])
    func `contradictory widths and other kinds are named errors`(
        _ name: String, _ more: String, _ word: String
    ) throws {
        let error = #expect(throws: (any Error).self) { try describe(name, more) }
        #expect(error.map { "\($0)".contains(word) } == true, "\(String(describing: error))")
    }

    @Test func `the width of LFM 2's MLP is adjusted as its config says`() throws {
        #expect(try describe("lfm2", "{}").shape.intermediate == 36)
        let plain = #"{"block_auto_adjust_ff_dim": false}"#
        #expect(try describe("lfm2", plain).shape.intermediate == 50)
        let whole =
            #"{"block_ff_dim": 12288, "block_multiple_of": 256, "block_ffn_dim_multiplier": 1.0}"#
        #expect(try describe("lfm2", whole).shape.intermediate == 8192)
        let none = #"{"block_ffn_dim_multiplier": null}"#
        #expect(try describe("lfm2", none).shape.intermediate == 33)
    }

    @Test func `Granite 4 rotates where its config says so, and may have no experts`() throws {
        let still = try describe("granitemoehybrid", #"{"mamba_d_head": "auto"}"#)
        #expect(still.kind(layer: 1).rotary == nil && still.shape.mixture?.experts == 3)
        #expect(still.parts.contains { $0.name == "positions" && $0.form == "none" })
        let rotating = try describe("granitemoehybrid-dense", "{}")
        #expect(rotating.kind(layer: 0).rotary == 0 && rotating.shape.mixture == nil)
        #expect(rotating.shape.intermediate == 22 && !rotating.isLinear(0))
        let legacy = #"{"layer_types": ["attention", "mamba"]}"#
        #expect(try describe("granitemoehybrid", legacy).isLinear(1))
        let dense = try describe(
            "granitemoehybrid", #"{"layer_types": ["attention", "attention"]}"#)
        #expect(dense.shape.mixer == nil && dense.states(sequences: 1) == nil)
    }

    @Test func `layers of attention may be named by number`() throws {
        let model = try describe(
            "lfm2", #"{"layer_types": null, "full_attn_idxs": [2], "num_hidden_layers": 4}"#)
        #expect((0..<4).map(model.isLinear) == [true, true, false, true])
        #expect(model.distinctLayers.map(\.count) == [3, 1])
        #expect(model.states(sequences: 2)?.byteCount(layers: 0..<4) == 2 * 3 * 2 * 32 * 4)
        let all = try describe("lfm2", #"{"layer_types": null}"#)
        #expect(all.pagedLayers(0..<2) == 2)
    }

    @Test(arguments: names + LinearAttentionTests.names, [true, false])
    func `activations take the memory that was stated`(_ name: String, _ backward: Bool) throws {
        let shape = try describe(name, "{}").shape
        let ledger = MemoryLedger()
        let acts = try LayerActivations(rows: 5, shape: shape, backward: backward, ledger: ledger)
        let stated = LayerActivations.byteCount(rows: 5, shape: shape, backward: backward)
        let used = ledger.peakTotal
        withExtendedLifetime(acts) { #expect(used == stated) }
    }

    @Test(arguments: names + LinearAttentionTests.names)
    func `a cache takes the memory that was stated`(_ name: String) throws {
        let model = try GoldenModel("architectures/\(name)")
        let need = GenerationNeed(contextLength: 100, sequences: 3, prefillChunk: 16)
        let ledger = MemoryLedger()
        let cache = try PagedCache(
            pageCount: need.pages, layers: 2, shape: model.decoder.description.shape,
            kvType: need.kvType, ledger: ledger,
            states: model.decoder.description.states(sequences: 3))
        let part = model.decoder.description.wholePart
        let stated = need.memory(model.decoder.description, part: part)[.kvCache]
        #expect(ledger.peakTotal == stated && cache.keepsStates)
    }

    @Test(arguments: names)
    func `the number of parameters is that of the checkpoint`(_ name: String) throws {
        let folder = try ModelFolder.open(Fixtures.path("architectures/\(name)"))
        let tensors = try #require(folder.checkpoint).tensors
        let count = tensors.filter { !$0.name.hasSuffix("expert_bias") }
            .reduce(0) { $0 + $1.shape.count }
        #expect(folder.description.parameterCount == count)
        guard folder.description.stack == nil else { return }
        let trained = tensors.map(\.name).filter { !$0.hasSuffix("expert_bias") }
        #expect(Set(folder.description.weightNames) == Set(trained))
    }
}
