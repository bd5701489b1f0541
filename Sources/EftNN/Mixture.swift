// SPDX-License-Identifier: Apache-2.0
// A mixture of experts in place of a layer's MLP (Shazeer et al. 2017, as Mixtral has it), forward and backward.
import EftTensor

/// MLPs of which a router chooses some for each row, whose values are added with the router's weights.
///
/// The rows of an expert are packed together, so that each of its matrices is read once. A row's products do not
/// depend on the rows beside it, and its experts are added in their order: its value never depends on the batch.
package struct Mixture: Sendable {
    /// C inputs, E outputs.
    package let router: Linear
    /// The experts in order.
    package let experts: [MLP]
    /// The MLP that acts on all rows.
    package let shared: SharedExpert?
    /// How many act on a row, and how much.
    package let shape: MixtureShape
    /// Added to the scores by which experts are chosen; nil where there is none.
    package let correction: Buffer?
    /// What brings experts into memory; nil where all are there.
    package var source: (any ExpertSource)?
    private let routing: Routing

    /// Puts a mixture together.
    package init(
        router: Linear, experts: [MLP], shared: SharedExpert? = nil, shape: MixtureShape,
        correction: Buffer? = nil
    ) {
        precondition(experts.count == shape.experts && router.weight.outputs == shape.experts)
        self.router = router
        self.experts = experts
        precondition((shared != nil) == (shape.shared != nil), "a shared expert as the shape says")
        precondition((correction != nil) == shape.hasCorrection, "a correction as the shape says")
        self.shared = shared
        self.shape = shape
        self.correction = correction
        let numbers = correction.map { Matrix(sharing: $0, rows: 1, columns: shape.experts).array }
        routing = Routing(shape: shape, correction: numbers ?? [])
    }

    /// The linear layers, in the order of the computation.
    package var linears: [Linear] {
        [router] + experts.flatMap(\.linears) + (shared?.linears ?? [])
    }

    // MARK: Forward

    /// Fills the router's logits, which choose the experts of each row.
    func route(
        _ x: Matrix, _ acts: LayerActivations, _ pass: Pass, _ observer: DecoderLayer.Observer?
    ) throws {
        guard let own = acts.mixture else { return }
        try observer?([router], x)
        try router.forward(x, into: own.logits.rows(0..<x.rows), pass)
    }

    /// y += the mixture's value of x, whose logits `route` has filled.
    func add(
        _ x: Matrix, to y: Matrix, _ acts: LayerActivations, _ pass: Pass,
        _ observer: DecoderLayer.Observer?
    ) throws {
        guard let own = acts.mixture else { return }
        let choices = choices(own.logits.rows(0..<x.rows))
        source?.begin(
            choices.enumerated().compactMap { index, choice in
                choice.rows.last.map { (expert: index, lastRow: $0) }
            })
        defer { source?.end() }
        for (index, choice) in choices.enumerated() where !choice.rows.isEmpty {
            try source?.acquire(index)
            defer { source?.release(index) }
            let (expert, part) = (experts[index], pass.packed(choice.rows))
            let input = own.input.rows(0..<choice.rows.count)
            let value = own.value.rows(0..<choice.rows.count)
            pack(choice, of: x, into: input, pass.backend)
            try expert.activate(input, acts, part, observer)
            try expert.finish(into: value, accumulate: false, acts, part)
            for (place, row) in choice.rows.enumerated() {
                pass.backend.addScaled(
                    value.rows(place..<place + 1),
                    factor: shape.weighsInputs ? 1 : choice.weights[place],
                    to: y.rows(row..<row + 1))
            }
        }
        try shared?.add(x, to: y, own, acts, pass, observer)
    }

    /// Shows an observer the inputs of an expert's linear layers for the rows of x that choose it; `route` must have
    /// filled the logits of x.
    func observe(
        expert index: Int, _ x: Matrix, _ acts: LayerActivations, _ pass: Pass,
        _ observer: DecoderLayer.Observer
    ) throws {
        guard let own = acts.mixture else { return }
        let choice = choices(own.logits.rows(0..<x.rows))[index]
        guard !choice.rows.isEmpty else { return }
        let input = own.input.rows(0..<choice.rows.count)
        pack(choice, of: x, into: input, pass.backend)
        try withoutActuallyEscaping(observer) {
            try experts[index].activate(input, acts, pass.packed(choice.rows), $0)
        }
    }

    /// Gathers what an expert reads.
    private func pack(
        _ choice: Choice, of x: Matrix, into input: Matrix, _ backend: any Backend
    ) {
        input.pack(choice.rows, of: x)
        if shape.weighsInputs { weigh(input, choice, backend) }
    }

    /// Multiplies each row by its weight.
    private func weigh(_ rows: Matrix, _ choice: Choice, _ backend: any Backend) {
        for (place, weight) in choice.weights.enumerated() {
            backend.scale(rows.rows(place..<place + 1), by: weight)
        }
    }

    // MARK: Backward

    /// dx = the gradient of x, from the gradient dy of the mixture's value, and adds to the gradients of what is
    /// trainable. `route` must have filled the logits of x.
    ///
    /// Each expert's activations are computed again, so that only one's are in memory.
    func backward(
        _ x: Matrix, dy: Matrix, into dx: Matrix, dActivated: Matrix, _ acts: LayerActivations,
        _ pass: Pass
    ) throws {
        guard let own = acts.mixture else { return }
        let (logits, backend) = (own.logits.rows(0..<x.rows), pass.backend)
        let routed = routed(logits)
        let choices = choices(routed)
        let values = (0..<logits.rows).map { logits.rows($0..<$0 + 1).array }
        logits.zero()
        dx.zero()
        for (index, choice) in choices.enumerated() where !choice.rows.isEmpty {
            let (part, rows) = (pass.packed(choice.rows), 0..<choice.rows.count)
            let (input, value) = (own.input.rows(rows), own.value.rows(rows))
            let gradient = experts[index].inner(dActivated, rows: rows.count)
            let activated = experts[index].inner(acts.activated, rows: rows.count)
            pack(choice, of: x, into: input, backend)
            try experts[index].activate(input, acts, part, nil)
            value.pack(choice.rows, of: dy)
            if !shape.weighsInputs { weigh(value, choice, backend) }
            let biased = experts[index].biasProducts(value)
            try experts[index].backward(
                input, dy: value, into: value, dActivated: dActivated, acts, part)
            for (place, row) in choice.rows.enumerated() {
                let slope = value.rows(place..<place + 1)
                if shape.weighsInputs {
                    logits.pointer[row * logits.columns + index] = Mixture.dot(
                        slope, input.rows(place..<place + 1))
                    backend.addScaled(
                        slope, factor: choice.weights[place], to: dx.rows(row..<row + 1))
                    continue
                }
                backend.addScaled(slope, factor: 1, to: dx.rows(row..<row + 1))
                // The last product is linear, so the weight's gradient times the weight needs no value of the expert.
                let product = Mixture.dot(
                    gradient.rows(place..<place + 1), activated.rows(place..<place + 1))
                logits.pointer[row * logits.columns + index] = product + (biased?[place] ?? 0)
            }
        }
        finishLogitGradients(logits, values, routed)
        try router.backward(x, dy: logits, into: dx, accumulate: true, pass)
        try shared?.backward(
            x, dy: dy, addingTo: dx, dActivated: dActivated, own, acts, pass)
    }

    /// From w dL/dw of the chosen experts, which stand at their places, to the gradients of all logits.
    private func finishLogitGradients(
        _ logits: Matrix, _ values: [[Float]], _ routed: [Routing.Choice]
    ) {
        for (row, choice) in routed.enumerated() {
            let place = logits.rows(row..<row + 1)
            let products = choice.experts.map { place.pointer[$0] }
            place.assign(routing.gradient(values[row], choice, products: products))
        }
    }

    static func dot(_ a: Matrix, _ b: Matrix) -> Float {
        let (left, right) = (UnsafeRawPointer(a.pointer), UnsafeRawPointer(b.pointer))
        var sums = SIMD8<Double>()
        let whole = a.count / 8 * 8
        for first in stride(from: 0, to: whole, by: 8) {
            let x = left.loadUnaligned(fromByteOffset: first * 4, as: SIMD8<Float>.self)
            let y = right.loadUnaligned(fromByteOffset: first * 4, as: SIMD8<Float>.self)
            sums += SIMD8<Double>(x) * SIMD8<Double>(y)
        }
        var sum = sums.sum()
        for index in whole..<a.count { sum += Double(a.pointer[index]) * Double(b.pointer[index]) }
        return Float(sum)
    }

    // MARK: Choice

    /// The rows on which an expert acts, ascending, and its weight in each.
    struct Choice {
        var rows: [Int] = []
        var weights: [Float] = []
    }

    /// The experts of each row.
    private func routed(_ logits: Matrix) -> [Routing.Choice] {
        (0..<logits.rows).map { routing.choose(logits.rows($0..<$0 + 1).array) }
    }

    /// The rows of each expert.
    private func choices(_ routed: [Routing.Choice]) -> [Choice] {
        var choices = [Choice](repeating: Choice(), count: experts.count)
        for (row, choice) in routed.enumerated() {
            for (index, weight) in zip(choice.experts, choice.weights) {
                choices[index].rows.append(row)
                choices[index].weights.append(weight)
            }
        }
        return choices
    }

    /// The rows of each expert.
    func choices(_ logits: Matrix) -> [Choice] { choices(routed(logits)) }
}
