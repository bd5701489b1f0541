// SPDX-License-Identifier: Apache-2.0
// What checkpoints call the parts of a decoder.
import EftFormats

extension DecoderDescription {
    /// What a checkpoint calls the parts of a decoder beside MLPs; names of Llama's form where not set.
    package struct ModuleNames: Sendable, Hashable {
        /// The list of layers.
        package var layers = "model.layers"
        package var embedding = "model.embed_tokens"
        /// The norm before the head.
        package var finalNorm = "model.norm"
        package var head = "lm_head"
        // Below a layer's path.
        package var query = "self_attn.q_proj"
        package var key = "self_attn.k_proj"
        package var value = "self_attn.v_proj"
        package var queryKeyValue = "self_attn.qkv_proj"
        package var queryDown = "self_attn.q_a_proj"
        package var queryUp = "self_attn.q_b_proj"
        package var latentDown = "self_attn.kv_a_proj_with_mqa"
        package var latentUp = "self_attn.kv_b_proj"
        package var output = "self_attn.o_proj"
        package var sinks = "self_attn.sinks"
        package var mixed = "linear_attn.in_proj_qkv"
        package var valueGate = "linear_attn.in_proj_z"
        package var strength = "linear_attn.in_proj_b"
        package var decay = "linear_attn.in_proj_a"
        package var linearOutput = "linear_attn.out_proj"
        package var convolution = "linear_attn.conv1d.weight"
        package var convolutionBias = "linear_attn.conv1d.bias"
        package var rate = "linear_attn.A_log"
        package var decayBias = "linear_attn.dt_bias"
        package var skip = "linear_attn.D"

        /// Names of Llama's form.
        package init() {}

        /// The names with another root than `model`.
        package func rooted(_ root: String) -> ModuleNames {
            var names = self
            func moved(_ name: String) -> String {
                name.hasPrefix("model.") ? root + name.dropFirst("model".count) : name
            }
            names.layers = moved(layers)
            names.embedding = moved(embedding)
            names.finalNorm = moved(finalNorm)
            return names
        }
    }
}

extension DecoderDescription {
    /// Takes the names under which a checkpoint has the embedding; the usual ones where it has none, or there is none.
    package mutating func root(in checkpoint: (any CheckpointReader)?) {
        guard let usual = roots.first else { return }
        let found = (roots + ["model"]).first { root in
            let name = names.rooted(root).embedding
            return checkpoint?.tensors.contains { $0.name.hasPrefix(name + ".") } ?? false
        }
        let root = found ?? usual
        names = names.rooted(root)
        // Where the whole language model stands below, the head does too.
        guard root.hasSuffix(".model") else { return }
        let head = root.dropLast("model".count) + names.head
        if checkpoint?.tensors.contains(where: { $0.name.hasPrefix(head + ".") }) ?? false {
            names.head = String(head)
        }
    }
}
