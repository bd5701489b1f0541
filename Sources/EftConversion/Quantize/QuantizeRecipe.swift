// SPDX-License-Identifier: Apache-2.0
// The ways in which a model can be quantized to EXL2.

/// How widths are chosen and weights rounded; all recipes write the same file format.
package enum QuantizeRecipe: String, Sendable, Hashable, CaseIterable {
    /// Widths by input within each matrix; the loss of each linear layer is weighted with how much the model's output
    /// depends on it; the budget is spent on the smallest sum of losses.
    case eft
    /// What ExLlamaV2's converter does: its tables of options, measured by the error of each block, and a mix found by
    /// annealing.
    case exllamav2
    /// One width for all layers, without measurement.
    case uniform

    /// Whether the model is measured before it is quantized.
    package var measures: Bool { self != .uniform }

    /// How numbers are rounded.
    var rounding: QuantizerRecipe { self == .eft ? .eft : .exllamav2 }

    /// Whether the weights of a layer make up for what the quantized layers before it have changed of its inputs.
    var compensates: Bool { self == .eft }

    /// Whether linear layers are quantized for inputs that come from the quantized ones before them in the same layer, or all
    /// for those of the unquantized layer.
    var pauses: Bool { self != .exllamav2 }
}
