// SPDX-License-Identifier: Apache-2.0
// A mixture of experts in place of a layer's MLP (Shazeer et al. 2017, as Mixtral has it), forward and backward.
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

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

    /// Puts a mixture together.
    package init(
        router: Linear, experts: [MLP], shared: SharedExpert? = nil, shape: MixtureShape
    ) {
        precondition(experts.count == shape.experts && router.weight.outputs == shape.experts)
        self.router = router
        self.experts = experts
        precondition((shared != nil) == (shape.shared != nil), "a shared expert as the shape says")
        self.shared = shared
        self.shape = shape
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
        for (expert, choice) in zip(experts, choices) where !choice.rows.isEmpty {
            let part = pass.packed(choice.rows)
            let input = own.input.rows(0..<choice.rows.count)
            let value = own.value.rows(0..<choice.rows.count)
            input.pack(choice.rows, of: x)
            try expert.activate(input, acts, part, observer)
            try expert.finish(into: value, accumulate: false, acts, part)
            for (place, row) in choice.rows.enumerated() {
                pass.backend.addScaled(
                    value.rows(place..<place + 1), factor: choice.weights[place],
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
        let rows = choices(own.logits.rows(0..<x.rows))[index].rows
        guard !rows.isEmpty else { return }
        let input = own.input.rows(0..<rows.count)
        input.pack(rows, of: x)
        try withoutActuallyEscaping(observer) {
            try experts[index].activate(input, acts, pass.packed(rows), $0)
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
        let choices = choices(logits)
        let shares = shares(logits, choices)
        logits.zero()
        dx.zero()
        for (index, choice) in choices.enumerated() where !choice.rows.isEmpty {
            let (part, rows) = (pass.packed(choice.rows), 0..<choice.rows.count)
            let (input, value) = (own.input.rows(rows), own.value.rows(rows))
            let gradient = experts[index].inner(dActivated, rows: rows.count)
            let activated = experts[index].inner(acts.activated, rows: rows.count)
            input.pack(choice.rows, of: x)
            try experts[index].activate(input, acts, part, nil)
            value.pack(choice.rows, of: dy)
            for place in rows {
                backend.scale(value.rows(place..<place + 1), by: choice.weights[place])
            }
            try experts[index].backward(
                input, dy: value, into: value, dActivated: dActivated, acts, part)
            for (place, row) in choice.rows.enumerated() {
                backend.addScaled(
                    value.rows(place..<place + 1), factor: 1, to: dx.rows(row..<row + 1))
                // The last product is linear, so the weight's gradient times the weight needs no value of the expert.
                logits.pointer[row * logits.columns + index] = Mixture.dot(
                    gradient.rows(place..<place + 1),
                    activated.rows(place..<place + 1))
            }
        }
        finishLogitGradients(logits, shares)
        try router.backward(x, dy: logits, into: dx, accumulate: true, pass)
        try shared?.backward(
            x, dy: dy, addingTo: dx, dActivated: dActivated, own, acts, pass)
    }

    /// From w dL/dw of the chosen experts to the gradients of all logits, w dL/dw - p sum(w dL/dw), p being the softmax that
    /// the weights are taken from.
    private func finishLogitGradients(_ logits: Matrix, _ shares: [[Float]]) {
        for (row, shares) in shares.enumerated() {
            let values = logits.pointer + row * logits.columns
            var sum: Float = 0
            for index in shares.indices { sum += values[index] }
            for (index, share) in shares.enumerated() { values[index] -= share * sum }
        }
    }

    /// The softmax of each row that weights are taken from: of all logits, or of the chosen ones.
    private func shares(_ logits: Matrix, _ choices: [Choice]) -> [[Float]] {
        switch shape.scoring {
        case .softmax:
            return (0..<logits.rows).map { row in
                let values = logits.rows(row..<row + 1).array
                let top = values.max() ?? 0
                let weights = values.map { expf($0 - top) }
                let sum = weights.reduce(0, +)
                return weights.map { $0 / sum }
            }
        case .softmaxOfChosen:
            let none = [Float](repeating: 0, count: logits.columns)
            var shares = [[Float]](repeating: none, count: logits.rows)
            for (index, choice) in choices.enumerated() {
                for (row, weight) in zip(choice.rows, choice.weights) {
                    shares[row][index] = weight / shape.scale
                }
            }
            return shares
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

    /// Chooses the experts of the highest logits for each row, of equal ones the first; their weights are the softmax
    /// of all logits, or of the chosen ones (which is that of all, made to add up to 1), times the factor.
    func choices(_ logits: Matrix) -> [Choice] {
        var choices = [Choice](repeating: Choice(), count: experts.count)
        for row in 0..<logits.rows {
            let values = logits.rows(row..<row + 1).array
            var chosen: [Int] = []
            while chosen.count < shape.expertsPerRow {
                var best: Int?
                for index in values.indices where !chosen.contains(index) {
                    if let found = best, !(values[index] > values[found]) { continue }
                    best = index
                }
                if let best { chosen.append(best) }
            }
            let weights = chosen.map { expf(values[$0] - values[chosen[0]]) }
            let counted =
                shape.scoring == .softmax ? values.map { expf($0 - values[chosen[0]]) } : weights
            let sum = counted.reduce(0, +)
            for (index, weight) in zip(chosen, weights) {
                choices[index].rows.append(row)
                choices[index].weights.append(weight / sum * shape.scale)
            }
        }
        return choices
    }
}
