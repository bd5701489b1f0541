// SPDX-License-Identifier: Apache-2.0
// Time spans as plain numbers.

extension Duration {
    /// The duration in seconds.
    package var seconds: Double {
        Double(components.seconds) + Double(components.attoseconds) * 1e-18
    }
}
