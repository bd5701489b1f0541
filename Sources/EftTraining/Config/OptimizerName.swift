// SPDX-License-Identifier: Apache-2.0
// The names of optimizers that Axolotl knows, and which of them Eft has.
import EftConfig

/// An optimizer by Axolotl's name: all forms of AdamW, which run with f32 state.
struct OptimizerName {
    /// Bits of state that the name promises, where it is not 32.
    let promisedBits: Int?
    /// Whether the name says that state may leave memory.
    let isPaged: Bool

    private static let adamW: [(name: String, bits: Int?)] = [
        ("adamw_torch_fused", nil), ("adamw_torch", nil), ("adamw_torch_xla", nil),
        ("adamw_torch_npu_fused", nil), ("adamw_hf", nil), ("adamw_apex_fused", nil),
        ("adamw_anyprecision", nil), ("paged_adamw_32bit", nil), ("optimi_adamw", nil),
        ("flash_adamw", nil), ("adamw_bnb_8bit", 8), ("adamw_8bit", 8), ("paged_adamw_8bit", 8),
        ("adamw_torch_8bit", 8), ("ao_adamw_8bit", 8), ("ao_adamw_fp8", 8),
        ("adamw_torch_4bit", 4), ("ao_adamw_4bit", 4),
    ]

    /// Reads the key `optimizer`; nil when it is absent.
    /// - Throws: `ConfigError` for an optimizer that is no AdamW.
    init?(_ config: ConfigCursor) throws(ConfigError) {
        guard let cursor = try config.optional("optimizer") else { return nil }
        let name = try cursor.string()
        guard let known = Self.adamW.first(where: { $0.name == name }) else {
            let names = Self.adamW.map(\.name).joined(separator: ", ")
            throw cursor.error(
                .badValue,
                "the optimizer '\(excerpt(name))' is not supported yet; there is AdamW, under the names "
                    + names)
        }
        promisedBits = known.bits
        isPaged = known.name.hasPrefix("paged_")
    }
}
