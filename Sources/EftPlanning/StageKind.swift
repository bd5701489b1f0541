// SPDX-License-Identifier: Apache-2.0
// Which kind of work a stage of a plan is.

/// What is done in a stage, and to weights of which form.
package enum StageKind: Sendable, Hashable {
    /// All weights, in f32.
    case trainAll
    /// Adapters on a 16-bit base.
    case trainLoRA
    /// Adapters on a base in NF4.
    case trainQLoRA
    /// A run as a configuration describes it.
    case trainConfigured
    case merge
    case convert
    /// A quantization with this many calibration rows, each of this many tokens.
    case quantize(bits: Int, rows: Int, length: Int)
    /// Text from weights as the folder holds them, or as config.json says that it would.
    case runStored
    /// Text from 16-bit weights.
    case runDense
    /// Text from 16-bit weights held in NF4.
    case runNF4
    /// Text from weights quantized to a width.
    case runEXL2(bits: Int)
    /// Text from weights quantized to GPTQ's codes of a width.
    case runGPTQ(bits: Int)
    /// Text from weights in 8-bit floating point.
    case runFP8
    /// Several requests at once, on weights as one of the kinds above has them.
    indirect case serve(StageKind, sequences: Int)

    /// Whether the stage makes text, for one request or several.
    package var isGeneration: Bool {
        switch self {
        case .runStored, .runDense, .runNF4, .runEXL2, .runGPTQ, .runFP8, .serve: true
        default: false
        }
    }
}
