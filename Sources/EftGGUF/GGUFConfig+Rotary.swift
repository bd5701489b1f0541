// SPDX-License-Identifier: Apache-2.0
// Rotary embeddings: the base, and how it is stretched.
import EftConfig

#if canImport(Glibc)
    import Glibc
#endif

extension GGUFConfig {
    /// Sets `rope_theta` and `rope_scaling`.
    /// - Throws: `GGUFError` (`unsupported`) for a scaling that is not known.
    mutating func setRotary(_ family: GGUFFamily) throws(GGUFError) {
        set("rope_theta", try number("rope.freq_base") ?? 10000)
        var scaling = ConfigObject()
        let type = file.metadata[key("rope.scaling.type")]?.text ?? "none"
        let factor = try number("rope.scaling.factor") ?? 1
        switch type {
        case "none": break
        case "linear":
            if factor != 1 {
                scaling["rope_type"] = ConfigNode(.string("linear"))
                scaling["factor"] = ConfigNode(.real(factor))
            }
        case "yarn": scaling = try yarn(factor, family)
        case "longrope": break
        default:
            throw file.fault(
                key("rope.scaling.type"), "is '\(type.prefix(100))', which is not supported",
                .unsupported)
        }
        if let factors = try factors(of: "rope_freqs.weight"), factors.contains(where: { $0 != 1 })
        {
            scaling = try stretched(factors)
        }
        if let long = try factors(of: "rope_factors_long.weight"),
            let short = try factors(of: "rope_factors_short.weight")
        {
            scaling = try longRope(short, long)
        }
        if !scaling.isEmpty { set("rope_scaling", ConfigNode(.object(scaling))) }
    }

    private func yarn(_ factor: Double, _ family: GGUFFamily) throws(GGUFError) -> ConfigObject {
        var scaling = ConfigObject()
        scaling["rope_type"] = ConfigNode(.string("yarn"))
        scaling["factor"] = ConfigNode(.real(factor))
        let (context, original) = (
            try required("context_length"), try whole("rope.scaling.original_context_length")
        )
        scaling["original_max_position_embeddings"] = ConfigNode(.integer(original ?? context))
        for (name, key) in [
            ("yarn_beta_fast", "beta_fast"), ("yarn_beta_slow", "beta_slow"),
            ("yarn_attn_factor", "attention_factor"),
        ] {
            if let value = try number("rope.scaling." + name) {
                scaling[key] = ConfigNode(.real(value))
            }
        }
        if !family.truncatesYarn { scaling["truncate"] = ConfigNode(.bool(false)) }
        if family.isLatent, let tenth = try number("rope.scaling.yarn_log_multiplier") {
            // A tenth of DeepSeek's second scale, which its models have as the first one too.
            let scale = ConfigNode(.real((tenth * 1e7).rounded() / 1e6))
            scaling["mscale"] = scale
            scaling["mscale_all_dim"] = scale
        }
        return scaling
    }

    /// Two lists of factors, for contexts up to the one that the model was made with and for longer ones.
    private func longRope(
        _ short: [Double], _ long: [Double]
    ) throws(GGUFError) -> ConfigObject {
        var scaling = ConfigObject()
        scaling["rope_type"] = ConfigNode(.string("longrope"))
        scaling["short_factor"] = ConfigNode(.array(short.map { ConfigNode(.real($0)) }))
        scaling["long_factor"] = ConfigNode(.array(long.map { ConfigNode(.real($0)) }))
        let (context, original) = (
            try required("context_length"), try whole("rope.scaling.original_context_length")
        )
        scaling["original_max_position_embeddings"] = ConfigNode(.integer(original ?? context))
        if let value = try number("rope.scaling.attn_factor") {
            scaling["attention_factor"] = ConfigNode(.real(value))
        }
        return scaling
    }

    /// The numbers by which frequencies are divided, where the file has them as a tensor.
    private func factors(of name: String) throws(GGUFError) -> [Double]? {
        guard let index = file.tensors.firstIndex(where: { $0.tensor.name == name })
        else { return nil }
        let (part, tensor) = file.tensors[index]
        guard tensor.type == .f32, tensor.dims.count == 1, tensor.columns <= 1 << 16 else {
            throw GGUFError(
                .damaged, "is no list of numbers", path: file.path, tensor: tensor.name)
        }
        var scanner = GGUFScanner(file.parts[part].input, tensor.bytes)
        var factors: [Double] = []
        for _ in 0..<tensor.columns {
            let factor = Float(bitPattern: try scanner.next(UInt32.self))
            guard factor.isFinite, factor > 0 else {
                throw GGUFError(
                    .damaged, "holds numbers that are not positive", path: file.path,
                    tensor: tensor.name)
            }
            factors.append(Double(factor.description) ?? Double(factor))
        }
        return factors
    }

    /// The scaling that gives such factors: Llama 3's where they are those of its form, else the factors themselves.
    private func stretched(_ factors: [Double]) throws(GGUFError) -> ConfigObject {
        var scaling = ConfigObject()
        let context = try required("context_length")
        if let found = try llama3(factors) {
            scaling["rope_type"] = ConfigNode(.string("llama3"))
            scaling["factor"] = ConfigNode(.real(found.factor))
            scaling["low_freq_factor"] = ConfigNode(.real(found.low))
            scaling["high_freq_factor"] = ConfigNode(.real(found.high))
            scaling["original_max_position_embeddings"] = ConfigNode(.integer(found.context))
            return scaling
        }
        let list = ConfigNode(.array(factors.map { ConfigNode(.real($0)) }))
        scaling["rope_type"] = ConfigNode(.string("longrope"))
        scaling["short_factor"] = list
        scaling["long_factor"] = list
        scaling["factor"] = ConfigNode(.real(1))
        scaling["attention_factor"] = ConfigNode(.real(1))
        scaling["original_max_position_embeddings"] = ConfigNode(.integer(context))
        return scaling
    }

    /// The parameters of Llama 3's scaling that give these factors, of those that models have.
    private func llama3(
        _ factors: [Double]
    ) throws(GGUFError) -> (factor: Double, low: Double, high: Double, context: Int)? {
        let base = try number("rope.freq_base") ?? 10000
        let largest = factors.max() ?? 1
        for context in [8192, 4096, 2048, 16384, 32768, 1024, 512, 256, 128, 64, 32] {
            for (low, high) in [(1.0, 4.0), (1.0, 2.0), (1.0, 8.0)] {
                let fits = factors.enumerated().allSatisfy { index, factor in
                    let share = 2 * Double(index) / Double(2 * factors.count)
                    let wave = 2 * Double.pi * pow(base, share)
                    let (longest, shortest) = (Double(context) / low, Double(context) / high)
                    var expected = largest
                    if wave < shortest {
                        expected = 1
                    } else if wave <= longest {
                        let smooth = (Double(context) / wave - low) / (high - low)
                        expected = 1 / ((1 - smooth) / largest + smooth)
                    }
                    return abs(factor - expected) <= 1e-4 * expected
                }
                if fits { return (largest, low, high, context) }
            }
        }
        return nil
    }
}
