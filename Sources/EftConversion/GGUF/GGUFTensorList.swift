// SPDX-License-Identifier: Apache-2.0
// The tensors that a GGUF file of a model has.
import EftGGUF
import EftModels
import EftNN

/// Lists the tensors of a model under llama.cpp's names.
struct GGUFTensorList {
    private let path: String
    private let model: DecoderDescription
    private let names: GGUFNames
    private let mix: GGUFMix
    private let circumstances: GGUFMix.Circumstances
    private(set) var tensors: [GGUFHeaderWriter.Tensor] = []

    /// Lists them.
    /// - Throws: `ConversionError` (`unsupported`) for parts that llama.cpp's architecture has no place for.
    static func make(
        _ folder: ModelFolder, _ names: GGUFNames, _ mix: GGUFMix, isWeighted: Bool
    ) throws -> [GGUFHeaderWriter.Tensor] {
        var list = GGUFTensorList(
            path: folder.path, model: folder.description, names: names, mix: mix,
            isWeighted: isWeighted)
        list.addEnds()
        for layer in 0..<list.model.layers { try list.addLayer(layer) }
        return list.tensors
    }

    private init(
        path: String, model: DecoderDescription, names: GGUFNames, mix: GGUFMix, isWeighted: Bool
    ) {
        circumstances = GGUFMix.Circumstances(
            layers: model.layers, sharing: model.shape.heads / max(model.shape.kvHeads, 1),
            isWeighted: isWeighted)
        self.path = path
        self.model = model
        self.names = names
        self.mix = mix
    }

    private mutating func add(
        _ name: String, _ dims: [Int], _ type: GGUFTensorType = .f32
    ) {
        tensors.append(.init(name: name, dims: dims, type: type))
    }

    private func fault(_ name: String) -> ConversionError {
        ConversionError(
            .unsupported, "llama.cpp's \(names.architecture) has no place for it", path: path,
            tensor: name)
    }

    // MARK: Ends

    private mutating func addEnds() {
        let (hidden, vocabulary) = (model.shape.hidden, model.vocabulary)
        func type(isHead: Bool) -> GGUFTensorType { mix.type(isHead: isHead, columns: hidden) }
        add("token_embd.weight", [vocabulary, hidden], type(isHead: model.tiedEmbeddings))
        if model.positions != nil {
            add("position_embd.weight", [model.positionRows, hidden])
        }
        if !model.tiedEmbeddings { add("output.weight", [vocabulary, hidden], type(isHead: true)) }
        if model.headBias { add("output.bias", [vocabulary]) }
        add("output_norm.weight", [model.finalNorm.count])
        if model.finalNorm.hasBias { add("output_norm.bias", [model.finalNorm.count]) }
    }

    // MARK: Layers

    private mutating func addLayer(_ layer: Int) throws {
        let path = model.layerName(layer) + "."
        let block = "blk.\(layer)."
        for norm in model.norms(layer: layer) {
            guard norm.name.hasPrefix(path),
                let stem = names.norm(String(norm.name.dropFirst(path.count)))
            else { throw fault(norm.name) }
            add("\(block)\(stem).weight", [norm.count])
            if norm.hasBias { add("\(block)\(stem).bias", [norm.count]) }
        }
        let experts = model.shape(layer: layer).mixture?.experts ?? 0
        for linear in model.linears(layer: layer) where linear.expert ?? 0 == 0 {
            let stems = try stems(linear, layer: layer)
            for (stem, dims) in stems {
                let type =
                    linear.role.isRouter
                    ? GGUFTensorType.f32
                    : mix.type(
                        linear.role, layer: layer, of: circumstances,
                        columns: dims[dims.count - 1])
                let stack = linear.expert == nil ? [] : [experts]
                add("\(block)\(stem).weight", stack + dims, type)
                if linear.hasBias { add("\(block)\(stem).bias", stack + dims.dropLast()) }
            }
        }
        for vector in model.vectors(layer: layer) {
            let count = vector.count
            switch vector.role {
            case .sinks: add(block + "attn_sinks.weight", [count])
            case .correction: add(block + "exp_probs_b.bias", vector.extents)
            case .convolution:
                add(block + "ssm_conv1d.weight", [vector.extents[0], count / vector.extents[0]])
            case .rate: add(block + "ssm_a", [count])
            case .decayBias: add(block + "ssm_dt.bias", [count])
            case .convolutionBias: add(block + "ssm_conv1d.bias", [count])
            case .skip: add(block + "ssm_d", [count])
            }
        }
    }

    /// llama.cpp's names of what a linear layer makes, and extents of each.
    private func stems(
        _ linear: DecoderDescription.LinearShape, layer: Int
    ) throws -> [(String, [Int])] {
        let isExpert = linear.expert != nil
        func one(_ stem: String) -> [(String, [Int])] { [(stem, [linear.outputs, linear.inputs])] }
        func halves(_ stems: [String]) -> [(String, [Int])] {
            stems.map { ($0, [linear.outputs / 2, linear.inputs]) }
        }
        switch linear.role {
        case .query: return one("attn_q")
        case .key: return one("attn_k")
        case .value: return one("attn_v")
        case .queryKeyValue: return one("attn_qkv")
        case .queryDown: return one("attn_q_a")
        case .queryUp: return one("attn_q_b")
        case .latentDown: return one("attn_kv_a_mqa")
        case .latentUp: return latentStems(linear)
        case .output: return one(model.isLinear(layer) ? "ssm_out" : "attn_output")
        case .mixed: return mixedStems(linear)
        case .valueGate: return one("attn_gate")
        case .strength:
            return one(model.shape.mixer?.delta?.isGrouped == true ? "ssm_ba" : "ssm_beta")
        case .decay: return one("ssm_alpha")
        case .router: return one("ffn_gate_inp")
        case .gate: return one(isExpert ? "ffn_gate_exps" : "ffn_gate")
        case .up: return one(isExpert ? "ffn_up_exps" : "ffn_up")
        case .down: return one(isExpert ? "ffn_down_exps" : "ffn_down")
        case .gateUp:
            if isExpert { return halves(["ffn_gate_exps", "ffn_up_exps"]) }
            guard names.fusesGateUp else { throw fault(linear.name) }
            return one("ffn_up")
        case .sharedRouter: return one("ffn_gate_inp_shexp")
        case .sharedGate: return one("ffn_gate_shexp")
        case .sharedUp: return one("ffn_up_shexp")
        case .sharedGateUp: return halves(["ffn_gate_shexp", "ffn_up_shexp"])
        case .sharedDown: return one("ffn_down_shexp")
        }
    }

    private func latentStems(
        _ linear: DecoderDescription.LinearShape
    ) -> [(String, [Int])] {
        guard names.splitsLatent, let latent = model.shape.latent else {
            return [("attn_kv_b", [linear.outputs, linear.inputs])]
        }
        let still = model.shape.headDim - latent.rotated
        return [
            ("attn_k_b", [model.shape.heads, latent.rank, still]),
            ("attn_v_b", [model.shape.heads, latent.valueDim, latent.rank]),
        ]
    }

    private func mixedStems(_ linear: DecoderDescription.LinearShape) -> [(String, [Int])] {
        guard let attention = model.shape.mixer?.delta, attention.isGrouped else {
            return [("attn_qkv", [linear.outputs, linear.inputs])]
        }
        return [
            ("attn_qkv", [attention.mixedWidth, linear.inputs]),
            ("attn_gate", [attention.valueWidth, linear.inputs]),
        ]
    }
}
