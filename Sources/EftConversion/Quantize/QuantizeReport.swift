// SPDX-License-Identifier: Apache-2.0
// What a quantization tells about its errors, also as JSON.
import EftConfig
import EftNN

/// Errors of a quantized model, layer by layer.
package struct QuantizeReport: Sendable, Hashable {
    /// One linear layer.
    package struct Linear: Sendable, Hashable {
        /// The path in the checkpoint.
        package let name: String
        /// K and N.
        package let inputs: Int
        package let outputs: Int
        /// Bits a weight on disk, scales and tables counted.
        package let bitsPerWeight: Double
        /// tr(D'HD) / tr(W'HW): the share of the output's energy that is lost, D what the weights changed by.
        package let error: Double
        /// The same for plain rounding of some outputs.
        package let roundingError: Double
    }

    /// Linear layers in the order in which they were quantized; the head last.
    package internal(set) var linears: [Linear] = []
    /// Mean relative error of each decoder layer's value on the calibration rows, in order of layers.
    package internal(set) var layerErrors: [Double] = []
    /// Perplexity of the quantized model on the first calibration rows.
    package internal(set) var calibrationPerplexity: Double?
    /// The last products of experts that few calibration tokens chose, and how many did.
    package internal(set) var rareExperts: [RareExpert] = []

    /// An expert that few calibration tokens chose.
    package struct RareExpert: Sendable, Hashable {
        /// The path of its last product.
        package let name: String
        /// Tokens that chose it.
        package let tokens: Int
    }

    /// Bits a weight of the decoder layers.
    package var bitsPerWeight: Double {
        let decoder = linears.filter { !Parameter.isOfVocabulary($0.name) }
        let weights = decoder.reduce(0) { $0 + $1.inputs * $1.outputs }
        let bits = decoder.reduce(0.0) { $0 + $1.bitsPerWeight * Double($1.inputs * $1.outputs) }
        return weights > 0 ? bits / Double(weights) : 0
    }

    // MARK: JSON

    /// The report as a document.
    package var node: ConfigNode {
        var object = ConfigObject()
        object["bits_per_weight"] = ConfigNode(.real(bitsPerWeight))
        if let calibrationPerplexity {
            object["calibration_perplexity"] = ConfigNode(.real(calibrationPerplexity))
        }
        if !rareExperts.isEmpty {
            object["rare_experts"] = ConfigNode(
                .array(
                    rareExperts.map {
                        ConfigNode(
                            .object(["name": ConfigNode($0.name), "tokens": ConfigNode($0.tokens)]))
                    }))
        }
        object["rfn_error"] = ConfigNode(.array(layerErrors.map { ConfigNode(.real($0)) }))
        object["linears"] = ConfigNode(.array(linears.map(\.node)))
        return ConfigNode(.object(object))
    }

    /// Makes an empty report.
    init() {}

    /// Reads a document that `node` made.
    /// - Throws: `ConfigError`.
    init(_ config: ConfigCursor) throws {
        layerErrors = try config.required("rfn_error").elements().map { try $0.double() }
        linears = try config.required("linears").elements().map { try Linear($0) }
        calibrationPerplexity = try config.optional("calibration_perplexity")?.double()
        rareExperts =
            try config.optional("rare_experts")?.elements().map {
                RareExpert(
                    name: try $0.required("name").string(), tokens: try $0.required("tokens").int())
            } ?? []
    }
}

extension QuantizeReport.Linear {
    fileprivate var node: ConfigNode {
        var object = ConfigObject()
        object["name"] = ConfigNode(.string(name))
        object["inputs"] = ConfigNode(.integer(inputs))
        object["outputs"] = ConfigNode(.integer(outputs))
        object["bits_per_weight"] = ConfigNode(.real(bitsPerWeight))
        object["error"] = ConfigNode(.real(error))
        object["rounding_error"] = ConfigNode(.real(roundingError))
        return ConfigNode(.object(object))
    }

    fileprivate init(_ config: ConfigCursor) throws {
        self.init(
            name: try config.required("name").string(),
            inputs: try config.required("inputs").int(),
            outputs: try config.required("outputs").int(),
            bitsPerWeight: try config.required("bits_per_weight").double(),
            error: try config.required("error").double(),
            roundingError: try config.required("rounding_error").double())
    }
}
