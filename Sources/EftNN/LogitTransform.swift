// SPDX-License-Identifier: Apache-2.0
// What some models do with the head's products.
import EftTensor

/// logits = cap * tanh(scale * products / cap), without the cap where it is nil.
package struct LogitTransform: Sendable, Hashable {
    /// Factor of the products.
    package var scale: Float
    /// What logits cannot exceed.
    package var cap: Float?

    /// The identity, where not said otherwise.
    package init(scale: Float = 1, cap: Float? = nil) {
        self.scale = scale
        self.cap = cap
    }

    /// Turns products into logits, in place.
    package func forward(_ logits: Matrix, _ backend: any Backend) {
        if scale != 1 { backend.scale(logits, by: scale) }
        if let cap { backend.softCap(logits, cap) }
    }

    /// Turns the gradient of logits into that of products, in place.
    /// - Parameter capped: the logits, where there is a cap.
    func backward(_ gradient: Matrix, capped: Matrix?, _ backend: any Backend) {
        if let cap, let capped {
            backend.softCapBackward(capped.rows(0..<gradient.rows), cap, gradient: gradient)
        }
        if scale != 1 { backend.scale(gradient, by: scale) }
    }
}
