// SPDX-License-Identifier: Apache-2.0
// The functions inside MLPs, and of gates.

/// What an MLP does with a number.
package enum Activation: Sendable, Hashable {
    /// x / (1 + exp(-x)).
    case silu
    /// x times the share of a normal distribution below x.
    case gelu
    /// GELU by way of tanh.
    case geluTanh
    /// max(x, 0).
    case relu
    /// max(x, 0)^2.
    case reluSquared
    /// x / (1 + exp(-1.702 x)) of x up to 7, with one more than the other factor, which is kept between -7 and 7 (gpt-oss).
    case clampedSwiGLU
    /// 1 / (1 + exp(-x)), of a gate.
    case sigmoid
}
