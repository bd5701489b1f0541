// SPDX-License-Identifier: Apache-2.0
// Adapters of parameters that hold the matrices of all experts of a layer, as PEFT has them (`target_parameters`).
import EftFormats

/// One product of all experts of a layer, as PEFT adapts it: A `[E r][K]` with expert after expert, and B `[N][r E]`, in which
/// the experts of a rank stand side by side.
///
/// Gate and up are one product with one A, whether the checkpoint holds them together or not.
package struct StackedAdapter: Sendable {
    /// A linear layer of an expert, and the rows of B that are its own.
    package struct Part: Sendable, Hashable {
        /// The layer.
        package let linear: DecoderDescription.LinearShape
        /// The expert's number.
        package let expert: Int
        /// Whether A is that of the expert's layer before it.
        package let sharesA: Bool
        /// Where its outputs begin among the product's.
        fileprivate let first: Int
        fileprivate let stack: ExpertStack?

        /// The row of B of an output.
        package func row(ofOutput output: Int) -> Int {
            first + (stack?.place(ofOutput: output, linear) ?? output)
        }
    }

    /// The name of the parameter in PEFT's `target_parameters`, from the decoder's root.
    package let parameter: String
    /// The module that has the parameter.
    package let module: String
    /// Whether it is the first of the module's parameters, whose adapter lies inside the other's where both have one.
    package let isInner: Bool
    /// Experts.
    package let experts: Int
    /// K.
    package let inputs: Int
    /// N.
    package let outputs: Int
    /// Linear layers, expert by expert, gate before up.
    package let parts: [Part]

    /// Those of a layer; none where it has no mixture.
    package static func all(_ description: DecoderDescription, layer: Int) -> [StackedAdapter] {
        guard let experts = description.shape(layer: layer).mixture?.experts,
            description.takesStackedAdapters
        else { return [] }
        let linears = description.linears(layer: layer).filter { $0.expert != nil }
        return ExpertStack.products.compactMap { roles in
            let name = roles == [.down] ? "down_proj" : "gate_up_proj"
            let own = linears.filter { roles.contains($0.role) }
            guard let first = own.first, own.count == experts * roles.count else { return nil }
            let module = description.layerName(layer) + "." + description.expertsModule
            let parts = own.map { linear in
                Part(
                    linear: linear, expert: linear.expert ?? 0, sharesA: linear.role == .up,
                    first: linear.role == .up ? first.outputs : 0, stack: description.stack)
            }
            return StackedAdapter(
                parameter: module + "." + name, module: module, isInner: roles != [.down],
                experts: experts, inputs: first.inputs, outputs: first.outputs * roles.count,
                parts: parts)
        }
    }

    /// Whether a name of `target_parameters` means it.
    package func isMeant(by name: String) -> Bool {
        parameter == name || parameter.hasSuffix("." + name)
    }

    /// The names of A and B in a file, without what PEFT puts before them.
    /// - Parameter hasOther: whether the module's other parameter has an adapter too.
    package func names(hasOther: Bool) -> (a: String, b: String) {
        let path = module + (isInner && hasOther ? ".base_layer" : "")
        return (path + AdapterFile.suffixes.a, path + AdapterFile.suffixes.b)
    }
}

extension DecoderDescription {
    /// What transformers calls the module with the parameters of all experts, below a layer.
    fileprivate var expertsModule: String { stack?.module ?? ExpertStack.usualModule }

    /// Whether adapters may act on the matrices of all experts together.
    package var takesStackedAdapters: Bool { stack?.takesAdapters ?? true }

    /// Whether a tensor of an adapter's file belongs to such an adapter.
    func isStackedAdapter(_ tensor: String) -> Bool {
        ["", ".base_layer"].contains { tensor.contains("." + expertsModule + $0 + ".lora_") }
    }

    /// The products of experts that names of `target_parameters` mean, layer by layer.
    package func stackedAdapters(_ names: [String]) -> [[StackedAdapter]] {
        (0..<layers).map { layer in
            guard !names.isEmpty else { return [] }
            return StackedAdapter.all(self, layer: layer).filter { product in
                names.contains { product.isMeant(by: $0) }
            }
        }
    }
}

/// The stacked adapters of a model, and what they say of linear layers.
package struct StackedAdapters: Sendable {
    /// The products that have adapters, layer by layer.
    package let products: [[StackedAdapter]]
    private let places: [String: (parameter: String, owner: String?)]

    /// Finds those that names of `target_parameters` mean.
    package init(_ names: [String], _ description: DecoderDescription) {
        products = description.stackedAdapters(names)
        var places: [String: (parameter: String, owner: String?)] = [:]
        for product in products.joined() {
            var owner: String?
            for part in product.parts {
                if !part.sharesA { owner = part.linear.name }
                places[part.linear.name] = (product.parameter, part.sharesA ? owner : nil)
            }
        }
        self.places = places
    }

    /// Whether there are none.
    package var isEmpty: Bool { places.isEmpty }

    /// The linear layers of which adapters are parts, in the order of the model.
    package var linears: [String] { products.joined().flatMap { $0.parts.map(\.linear.name) } }

    /// Whether a linear layer's adapter is a part of a stacked one.
    package func contains(_ linear: String) -> Bool { places[linear] != nil }

    /// Rank and scale of a linear layer; patterns know experts by the parameter.
    package func settings(
        _ linear: String, in config: AdapterConfig
    ) -> (rank: Int, scale: Double) {
        config.settings(for: places[linear]?.parameter ?? linear)
    }

    /// The linear layer whose A another uses; nil when that has its own.
    package func owner(ofAOf linear: String) -> String? { places[linear]?.owner }
}
