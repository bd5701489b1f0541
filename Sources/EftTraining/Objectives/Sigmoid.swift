// SPDX-License-Identifier: Apache-2.0
// The logistic function, which losses of pairs are made of.

#if canImport(Glibc)
    import Glibc
#endif

/// 1 / (1 + exp(-x)), without overflow.
func sigmoid(_ x: Double) -> Double {
    if x >= 0 { return 1 / (1 + exp(-x)) }
    let power = exp(x)
    return power / (1 + power)
}

/// Its logarithm, without overflow.
func logSigmoid(_ x: Double) -> Double { min(x, 0) - log1p(exp(-abs(x))) }
