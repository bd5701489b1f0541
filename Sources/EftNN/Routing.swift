// SPDX-License-Identifier: Apache-2.0
// From a router's logits to experts and their weights, and back to the gradients of the logits.

#if canImport(Glibc)
    import Glibc
#endif

/// How the logits of one row choose experts and weigh them.
struct Routing: Sendable {
    let shape: MixtureShape
    /// Added to the scores by which experts are chosen, not to their weights; empty where there is none.
    var correction: [Float] = []

    /// The experts of a row, in the order in which they were chosen, and their weights.
    struct Choice {
        var experts: [Int]
        var weights: [Float]
    }

    /// Chooses the experts of the highest scores, of equal ones the first.
    func choose(_ logits: [Float]) -> Choice {
        switch shape.scoring {
        case .softmaxOfChosen, .softmax: softmaxChoice(logits)
        case .sigmoid(let addsUp): sigmoidChoice(logits, addsUp)
        case .sparse(let jitter): sparseChoice(logits, jitter)
        }
    }

    /// The gradients of the logits, from each chosen weight times the gradient of that weight.
    func gradient(_ logits: [Float], _ choice: Choice, products: [Float]) -> [Float] {
        var gradient = [Float](repeating: 0, count: logits.count)
        switch shape.scoring {
        case .softmaxOfChosen, .softmax:
            // w dL/dw - p sum(w dL/dw), p being the softmax that the weights are taken from.
            for (expert, product) in zip(choice.experts, products) { gradient[expert] = product }
            let sum = gradient.reduce(0, +)
            for (expert, share) in shares(logits, choice).enumerated() {
                gradient[expert] -= share * sum
            }
        case .sigmoid(let addsUp):
            let scores = choice.experts.map { Routing.sigmoid(logits[$0]) }
            let (all, sum) = (scores.reduce(0, +), products.reduce(0, +))
            for ((expert, product), score) in zip(zip(choice.experts, products), scores) {
                gradient[expert] =
                    (1 - score) * (addsUp ? product - score / all * sum : product)
            }
        case .sparse(let jitter):
            for (place, (expert, product)) in zip(choice.experts, products).enumerated() {
                let hidden = Array(choice.experts[..<place])
                gradient[expert] += product
                for (other, share) in closeShares(logits, hidden, jitter).enumerated() {
                    gradient[other] -= product * share
                }
            }
        }
        return gradient
    }

    // MARK: Softmax

    private func softmaxChoice(_ logits: [Float]) -> Choice {
        var scores = logits
        if !correction.isEmpty || shape.groups != nil {
            scores = corrected(Routing.softmax(logits))
        }
        let chosen = highest(scores)
        let weights = chosen.map { expf(logits[$0] - logits[chosen[0]]) }
        let counted =
            shape.scoring == .softmax ? logits.map { expf($0 - logits[chosen[0]]) } : weights
        let sum = counted.reduce(0, +)
        return Choice(experts: chosen, weights: weights.map { $0 / sum * shape.scale })
    }

    /// The softmax that weights are taken from: of all logits, or of the chosen ones.
    private func shares(_ logits: [Float], _ choice: Choice) -> [Float] {
        guard shape.scoring == .softmax else {
            var shares = [Float](repeating: 0, count: logits.count)
            for (expert, weight) in zip(choice.experts, choice.weights) {
                shares[expert] = weight / shape.scale
            }
            return shares
        }
        return Routing.softmax(logits)
    }

    private static func softmax(_ logits: [Float]) -> [Float] {
        let top = logits.max() ?? 0
        let weights = logits.map { expf($0 - top) }
        let sum = weights.reduce(0, +)
        return weights.map { $0 / sum }
    }

    // MARK: Sigmoid

    private static func sigmoid(_ x: Float) -> Float { 1 / (1 + expf(-x)) }

    private func sigmoidChoice(_ logits: [Float], _ addsUp: Bool) -> Choice {
        let scores = logits.map(Routing.sigmoid)
        let chosen = highest(corrected(scores))
        let sum = addsUp ? chosen.reduce(0) { $0 + scores[$1] } + 1e-20 : 1
        return Choice(experts: chosen, weights: chosen.map { scores[$0] / sum * shape.scale })
    }

    // MARK: Sparse mixing (Liu et al. 2023), as it computes outside training

    private func sparseChoice(_ logits: [Float], _ jitter: Float) -> Choice {
        var choice = Choice(experts: [], weights: [])
        while choice.experts.count < shape.expertsPerRow {
            let shares = closeShares(logits, choice.experts, jitter)
            let best = Routing.best(logits, beside: choice.experts)
            choice.experts.append(best)
            choice.weights.append(shares[best] * shape.scale)
        }
        return choice
    }

    /// The softmax of the logits that are close to the highest one, of those that are not chosen yet.
    private func closeShares(_ logits: [Float], _ chosen: [Int], _ jitter: Float) -> [Float] {
        let top = logits[Routing.best(logits, beside: chosen)]
        let weights = logits.enumerated().map { expert, logit -> Float in
            let isFar = (top - logit) / max(abs(logit), top) > 2 * jitter
            return isFar || chosen.contains(expert) ? 0 : expf(logit - top)
        }
        let sum = weights.reduce(0, +)
        return weights.map { $0 / sum }
    }

    // MARK: Choice

    /// The scores by which experts are chosen: those of groups that are not are taken out.
    private func corrected(_ scores: [Float]) -> [Float] {
        var scores = scores
        for (expert, number) in correction.enumerated() { scores[expert] += number }
        guard let groups = shape.groups, groups.chosen < groups.count else { return scores }
        let size = scores.count / groups.count
        let values = (0..<groups.count).map { group in
            let own = scores[group * size..<(group + 1) * size].sorted(by: >)
            return groups.sumsTwo ? own.prefix(2).reduce(0, +) : own[0]
        }
        var chosen: [Int] = []
        while chosen.count < groups.chosen {
            chosen.append(Routing.best(values, beside: chosen))
        }
        for expert in scores.indices where !chosen.contains(expert / size) {
            scores[expert] = -.infinity
        }
        return scores
    }

    private func highest(_ scores: [Float]) -> [Int] {
        var chosen: [Int] = []
        while chosen.count < shape.expertsPerRow {
            chosen.append(Routing.best(scores, beside: chosen))
        }
        return chosen
    }

    /// The place of the highest value beside some, of equal ones the first.
    private static func best(_ values: [Float], beside chosen: [Int]) -> Int {
        var best: Int?
        for index in values.indices where !chosen.contains(index) {
            if let found = best, !(values[index] > values[found]) { continue }
            best = index
        }
        return best ?? 0
    }
}
