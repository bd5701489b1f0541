// SPDX-License-Identifier: Apache-2.0
// One step of an optimizer's element-wise rule.
import CEftKernels

/// An element-wise rule with its constants; the formulas stand in `CEftKernels.h`.
package struct UpdateStep: Sendable {
    /// How numbers change.
    package enum Rule: UInt32, Sendable {
        case adamW, lion, sgd, rmsProp, adagrad, adEMAMix, scheduleFree, nesterov
    }

    /// The rule.
    package var rule: Rule
    /// Factor of the gradient, from clipping.
    package var gradientScale = 1.0
    /// Factor of the value: what decoupled weight decay leaves.
    package var keep = 1.0
    /// Weight decay that is added to the gradient.
    package var decay = 0.0
    /// The learning rate, with what the rule has it divided by.
    package var rate: Double
    /// Added to a root that is divided by.
    package var epsilon = 0.0
    /// Decays of the states, and what each adds of the new: one less the decay where nothing else is said.
    package var (beta1, beta2, beta3) = (0.0, 0.0, 0.0)
    /// What the first state takes of the gradient; `1 - beta1` when nil.
    package var rest1: Double?
    /// What the first moment is divided by.
    package var correction1 = 1.0
    /// What the second moment, or its root, is divided by.
    package var correction2 = 1.0
    /// A factor of the rule's own.
    package var alpha = 0.0
    /// A share of the rule's own.
    package var mix = 0.0
    /// Whether this is the first step.
    package var isFirst = false
    /// Whether momentum looks ahead.
    package var isNesterov = false

    /// States a rule.
    package init(_ rule: Rule, rate: Double) {
        self.rule = rule
        self.rate = rate
    }

    /// The kernels' description.
    var kernelValue: eft_update {
        eft_update(
            rule: eft_update_rule(rule.rawValue), gradient_scale: Float(gradientScale),
            keep: Float(keep), decay: Float(decay), rate: Float(rate), epsilon: Float(epsilon),
            beta1: Float(beta1), rest1: Float(rest1 ?? 1 - beta1), beta2: Float(beta2),
            rest2: Float(1 - beta2), beta3: Float(beta3), rest3: Float(1 - beta3),
            correction1: Float(correction1), correction2: Float(correction2),
            alpha: Float(alpha), mix: Float(mix), first: isFirst, nesterov: isNesterov)
    }
}

/// Where a rule finds one of its states.
package struct UpdateState {
    /// The memory.
    package let buffer: Buffer
    /// Where the numbers, or their codes, begin, in bytes.
    package let offset: Int
    /// Codes of 8 bits: where the largest magnitudes of the blocks begin, and whether the map has a sign.
    package let codes: (scaleOffset: Int, isSigned: Bool)?

    /// Numbers in a block of codes.
    package static let blockSize = Int(EFT_UPDATE_BLOCK)

    /// Points at a state.
    package init(
        buffer: Buffer, offset: Int, codes: (scaleOffset: Int, isSigned: Bool)? = nil
    ) {
        self.buffer = buffer
        self.offset = offset
        self.codes = codes
    }

    private static let maps = CodeMaps()

    /// The kernels' descriptions of up to three states.
    static func kernelValues(_ states: [UpdateState?]) -> [eft_update_state] {
        var values = states.map { $0?.kernelValue ?? eft_update_state() }
        while values.count < 3 { values.append(eft_update_state()) }
        return values
    }

    private var kernelValue: eft_update_state {
        var value = eft_update_state()
        let first = buffer.base + offset
        if let codes {
            value.codes = first.assumingMemoryBound(to: UInt8.self)
            value.absmax = (buffer.base + codes.scaleOffset).assumingMemoryBound(to: Float.self)
            value.map = UnsafePointer(codes.isSigned ? Self.maps.signed : Self.maps.unsigned)
        } else {
            value.values = first.assumingMemoryBound(to: Float.self)
        }
        return value
    }
}

extension UpdateState {
    /// Gives `body` the first `count` numbers one after the other.
    package func forEach(_ count: Int, _ body: (_ index: Int, _ value: Float) -> Void) {
        let first = buffer.base + offset
        guard let codes else {
            let values = first.assumingMemoryBound(to: Float.self)
            for index in 0..<count { body(index, values[index]) }
            return
        }
        let bytes = first.assumingMemoryBound(to: UInt8.self)
        let scales = (buffer.base + codes.scaleOffset).assumingMemoryBound(to: Float.self)
        let map = Self.values(isSigned: codes.isSigned)
        for index in 0..<count {
            body(index, map[Int(bytes[index])] * scales[index / Self.blockSize])
        }
    }

    /// Sets those of the first `count` numbers to zero that `isCleared` names.
    package func clear(_ count: Int, where isCleared: (_ index: Int, _ value: Float) -> Bool) {
        let first = buffer.base + offset
        guard let codes else {
            let values = first.assumingMemoryBound(to: Float.self)
            for index in 0..<count where isCleared(index, values[index]) { values[index] = 0 }
            return
        }
        let bytes = first.assumingMemoryBound(to: UInt8.self)
        let zero = UInt8(Self.values(isSigned: codes.isSigned).firstIndex(of: 0) ?? 0)
        forEach(count) { index, value in if isCleared(index, value) { bytes[index] = zero } }
    }

    /// The numbers of the codes, of a block whose largest magnitude is 1.
    private static func values(isSigned: Bool) -> [Float] {
        [Float](unsafeUninitializedCapacity: 256) { map, count in
            guard let base = map.baseAddress else { return }
            eft_dynamic_map(isSigned, base)
            count = 256
        }
    }
}

/// bitsandbytes' dynamic maps, made once and only read from then on, hence unchecked.
private final class CodeMaps: @unchecked Sendable {
    let signed = UnsafeMutablePointer<eft_code_map>.allocate(capacity: 1)
    let unsigned = UnsafeMutablePointer<eft_code_map>.allocate(capacity: 1)

    init() {
        eft_code_map_fill(signed, true)
        eft_code_map_fill(unsigned, false)
    }

    deinit {
        signed.deallocate()
        unsigned.deallocate()
    }
}
