// SPDX-License-Identifier: Apache-2.0
// Families with linear attention by the gated delta rule: Qwen 3 Next and Qwen 3.5.
import EftConfig

extension GGUFFamily {
    /// Heads of linear attention and their widths.
    private struct LinearHeads {
        let keyHeads: Int
        let valueHeads: Int
        let keyDim: Int
        let valueDim: Int

        init(_ config: GGUFConfig) throws(GGUFError) {
            keyHeads = try config.required("ssm.group_count")
            valueHeads = try config.required("ssm.time_step_rank")
            keyDim = try config.required("ssm.state_size")
            let width = try config.required("ssm.inner_size")
            let largest = 1 << 20
            guard (1...largest).contains(keyHeads), (1...largest).contains(valueHeads),
                (1...largest).contains(keyDim), (1...largest).contains(width),
                valueHeads % keyHeads == 0, width % valueHeads == 0
            else {
                throw config.file.fault(
                    config.key("ssm.time_step_rank"),
                    "(\(valueHeads) heads) fits neither ssm.group_count (\(keyHeads)) nor ssm.inner_size (\(width))"
                )
            }
            valueDim = width / valueHeads
        }

        /// Heads of values that share one of keys.
        var share: Int { valueHeads / keyHeads }
        var keyWidth: Int { keyHeads * keyDim }
        var valueWidth: Int { valueHeads * valueDim }

        /// Rows of values, which Qwen 3.5's files have so that heads that share keys are far from each other.
        func spread(from first: Int, width: Int) -> [GGUFView.Run] {
            (0..<valueHeads).map { head in
                let (group, place) = (head / share, head % share)
                return GGUFView.Run(
                    first: first + (place * keyHeads + group) * width, count: width)
            }
        }
    }

    private static func setLinear(_ config: inout GGUFConfig) throws(GGUFError) {
        let heads = try LinearHeads(config)
        config.set("linear_num_key_heads", heads.keyHeads)
        config.set("linear_num_value_heads", heads.valueHeads)
        config.set("linear_key_head_dim", heads.keyDim)
        config.set("linear_value_head_dim", heads.valueDim)
        config.set("linear_conv_kernel_dim", try config.required("ssm.conv_kernel"))
        let layers = try config.layers()
        let flags = try config.flags("attention.recurrent_layers")
        if let flags, flags.count < layers {
            throw config.file.fault(
                config.key("attention.recurrent_layers"), "has \(flags.count) entries")
        }
        let interval = max(try config.whole("full_attention_interval") ?? 4, 1)
        config.set(
            "layer_types",
            ConfigNode(
                .array(
                    (0..<layers).map { layer in
                        let isLinear = flags?[layer] ?? ((layer + 1) % interval != 0)
                        return ConfigNode(
                            .string(isLinear ? "linear_attention" : "full_attention"))
                    })))
        try config.setRotaryShare()
        config.set("attention_bias", config.has("blk.0.attn_q.bias"))
    }

    private static func setLinearExperts(_ config: inout GGUFConfig) throws(GGUFError) {
        try config.setExperts(count: "num_experts", width: "moe_intermediate_size")
        config.set("norm_topk_prob", true)
        if let width = try config.whole("expert_shared_feed_forward_length") {
            config.set("shared_expert_intermediate_size", width)
        } else if let gate = config.tensors["blk.0.ffn_gate_shexp.weight"] {
            config.set("shared_expert_intermediate_size", gate.dims[0])
        }
    }

    private static let linearPath = "linear_attn."

    /// Vectors that both have.
    private static func addVector(
        _ views: inout GGUFViews, _ stored: GGUFViews.Stored, _ path: String, _ heads: LinearHeads,
        isSpread: Bool
    ) throws(GGUFError) -> Bool {
        let runs = isSpread ? heads.spread(from: 0, width: 1) : nil
        let (tensor, count) = (stored.tensor, heads.valueHeads)
        switch stored.full {
        case "ssm_a", "ssm_dt.bias":
            guard tensor.dims == [count] else { throw views.shapeFault(tensor) }
            let isRate = stored.full == "ssm_a"
            try views.append(
                path + linearPath + (isRate ? "A_log" : "dt_bias"), stored.source, runs: runs,
                dims: [count], change: isRate ? .logarithm : .none)
        case "ssm_conv1d.weight":
            let channels = 2 * heads.keyWidth + heads.valueWidth
            guard tensor.dims.count == 2, tensor.dims[0] == channels else {
                throw views.shapeFault(tensor)
            }
            try views.append(
                path + linearPath + "conv1d.weight", stored.source,
                runs: isSpread ? mixedRuns(heads) : nil, dims: [channels, 1, tensor.columns])
        default: return false
        }
        return true
    }

    /// Rows of queries and keys as they are, then those of values.
    private static func mixedRuns(_ heads: LinearHeads) -> [GGUFView.Run] {
        [GGUFView.Run(first: 0, count: 2 * heads.keyWidth)]
            + heads.spread(from: 2 * heads.keyWidth, width: heads.valueDim)
    }

    // MARK: Qwen 3 Next

    /// One product makes for each head of keys its query, its key, its values and what weighs them; the file has all of
    /// each together, and what weighs values in a tensor of its own.
    private static func addGrouped(
        _ views: inout GGUFViews, _ stored: GGUFViews.Stored, _ path: String
    ) throws(GGUFError) -> Bool {
        let heads = try LinearHeads(views.config)
        if try addVector(&views, stored, path, heads, isSpread: false) { return true }
        guard stored.stem == "attn_qkv" || stored.stem == "attn_gate" else { return false }
        let mixed = try views.beside(stored, "attn_qkv")
        guard stored.stem == "attn_qkv" else { return true }
        let gate = try views.beside(stored, "attn_gate")
        let columns = mixed.tensor.columns
        guard mixed.tensor.dims == [2 * heads.keyWidth + heads.valueWidth, columns] else {
            throw views.shapeFault(mixed.tensor)
        }
        guard gate.tensor.dims == [heads.valueWidth, columns] else {
            throw views.shapeFault(gate.tensor)
        }
        let values = heads.share * heads.valueDim
        let runs = (0..<heads.keyHeads).flatMap { head in
            [
                GGUFView.Run(first: head * heads.keyDim, count: heads.keyDim),
                GGUFView.Run(first: heads.keyWidth + head * heads.keyDim, count: heads.keyDim),
                GGUFView.Run(first: 2 * heads.keyWidth + head * values, count: values),
                GGUFView.Run(source: 1, first: head * values, count: values),
            ]
        }
        try views.append(
            GGUFView(
                name: path + linearPath + "in_proj_qkvz.weight",
                dims: [2 * (heads.keyWidth + heads.valueWidth), columns], sources: [mixed, gate],
                runs: runs, columns: columns))
        return true
    }

    static let qwen3Next = GGUFFamily(
        modelType: "qwen3_next", className: "Qwen3NextForCausalLM", hasShiftedNorms: true,
        settings: { (config) throws(GGUFError) in
            try setLinear(&config)
            try setLinearExperts(&config)
        },
        names: [
            "ssm_norm": "linear_attn.norm", "ssm_out": "linear_attn.out_proj",
            "ssm_ba": "linear_attn.in_proj_ba", "ssm_in": "linear_attn.in_proj_qkvz",
        ], plainNorms: ["linear_attn.norm"], special: addGrouped)

    // MARK: Qwen 3.5

    private static func addSpread(
        _ views: inout GGUFViews, _ stored: GGUFViews.Stored, _ path: String
    ) throws(GGUFError) -> Bool {
        let heads = try LinearHeads(views.config)
        if try addVector(&views, stored, path, heads, isSpread: heads.share > 1) { return true }
        guard stored.ending == "weight" else { return false }
        let (tensor, source) = (stored.tensor, stored.source)
        func rows(_ name: String, _ runs: [GGUFView.Run]) throws(GGUFError) {
            guard tensor.dims == [runs.reduce(0) { $0 + $1.count }, tensor.columns] else {
                throw views.shapeFault(tensor)
            }
            try views.append(path + linearPath + name, source, runs: runs)
        }
        let isSpread = heads.share > 1
        switch stored.stem {
        case "attn_qkv":
            try rows(
                "in_proj_qkv.weight",
                isSpread
                    ? mixedRuns(heads)
                    : [.init(first: 0, count: 2 * heads.keyWidth + heads.valueWidth)])
        case "attn_gate":
            try rows(
                "in_proj_z.weight",
                isSpread
                    ? heads.spread(from: 0, width: heads.valueDim)
                    : [.init(first: 0, count: heads.valueWidth)])
        case "ssm_alpha", "ssm_beta":
            try rows(
                stored.stem == "ssm_alpha" ? "in_proj_a.weight" : "in_proj_b.weight",
                isSpread
                    ? heads.spread(from: 0, width: 1) : [.init(first: 0, count: heads.valueHeads)])
        case "ssm_out":
            guard tensor.dims.count == 2, tensor.columns == heads.valueWidth else {
                throw views.shapeFault(tensor)
            }
            // Its inputs are the values.
            try views.append(
                GGUFView(
                    name: path + linearPath + "out_proj.weight", dims: tensor.dims,
                    sources: [source], runs: [.init(first: 0, count: tensor.dims[0])],
                    columns: tensor.columns,
                    columnRuns: isSpread
                        ? heads.spread(from: 0, width: heads.valueDim).map {
                            $0.first..<$0.first + $0.count
                        } : []))
        default: return false
        }
        return true
    }

    static let qwen35 = GGUFFamily(
        modelType: "qwen3_5_text", className: "Qwen3_5ForCausalLM", hasShiftedNorms: true,
        settings: { (config) throws(GGUFError) in try setLinear(&config) },
        names: ["ssm_norm": "linear_attn.norm"], plainNorms: ["linear_attn.norm"],
        special: addSpread)

    static let qwen35MoE = GGUFFamily(
        modelType: "qwen3_5_moe_text", className: "Qwen3_5MoeForCausalLM", hasShiftedNorms: true,
        settings: { (config) throws(GGUFError) in
            try setLinear(&config)
            try setLinearExperts(&config)
        }, names: ["ssm_norm": "linear_attn.norm"], plainNorms: ["linear_attn.norm"],
        special: addSpread)
}
