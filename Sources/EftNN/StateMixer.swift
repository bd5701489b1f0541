// SPDX-License-Identifier: Apache-2.0
// What stands in the place of attention in layers that keep a state of each sequence.
import EftTensor

/// The form of what takes attention's place.
package enum StateMixerShape: Sendable, Hashable {
    /// Linear attention by the gated delta rule.
    case delta(LinearAttentionShape)
    /// A short convolution between two gates.
    case convolution(ShortConvolutionShape)
    /// A state-space layer.
    case space(StateSpaceShape)

    /// Numbers that a layer keeps of a sequence.
    package var stateFloats: Int {
        switch self {
        case .delta(let linear): linear.stateFloats
        case .convolution(let convolution): convolution.stateFloats
        case .space(let space): space.stateFloats
        }
    }

    /// The widths of linear attention; nil of another form.
    package var delta: LinearAttentionShape? {
        if case .delta(let linear) = self { return linear }
        return nil
    }

    /// The widths of a short convolution; nil of another form.
    package var convolution: ShortConvolutionShape? {
        if case .convolution(let convolution) = self { return convolution }
        return nil
    }

    /// The widths of a state-space layer; nil of another form.
    package var space: StateSpaceShape? {
        if case .space(let space) = self { return space }
        return nil
    }

    /// How states change from row to row; nil where only rows are kept.
    package var rule: DeltaShape? { delta?.delta ?? space?.rule }
}

extension DecoderLayer {
    /// Computes what the last product reads, where a state takes the place of keys and values.
    /// - Returns: whether it does.
    func mixStates(_ input: Matrix, _ state: LayerPass, _ observer: Observer?) throws -> Bool {
        switch projections {
        case .linear(let linear): try mix(linear, input, state, observer)
        case .convolution(let convolution): try mix(convolution, input, state, observer)
        case .space(let space): try mix(space, input, state, observer)
        case .apart, .fused, .latent: return false
        }
        return true
    }

    /// dInput = the gradient of the first products' input from that of attention's value, where a state takes the place of
    /// keys and values.
    /// - Returns: whether it does.
    func mixStatesBackward(
        _ input: Matrix, _ dy: Matrix, into dInput: Matrix, _ state: LayerPass
    ) throws -> Bool {
        switch projections {
        case .linear(let linear): try mixBackward(linear, input, dy, into: dInput, state)
        case .convolution(let convolution):
            try mixBackward(convolution, input, dy, into: dInput, state)
        case .space(let space): try mixBackward(space, input, dy, into: dInput, state)
        case .apart, .fused, .latent: return false
        }
        return true
    }

    /// Keeps the last rows of those that a convolution has seen of a sequence.
    /// - Parameters:
    ///   - place: those that were kept before; undefined where these rows are the sequence's first.
    func keepLast(
        _ kept: Int, of rows: Matrix, in place: UnsafeMutablePointer<Float>, isFirst: Bool
    ) {
        let width = rows.columns
        for row in 0..<kept {
            // Counted from the rows that stood there before.
            let source = rows.rows + row
            let target = place + row * width
            if source >= kept {
                target.update(from: rows.pointer + (source - kept) * width, count: width)
            } else if isFirst {
                target.update(repeating: 0, count: width)
            } else {
                target.update(from: place + source * width, count: width)
            }
        }
    }
}
