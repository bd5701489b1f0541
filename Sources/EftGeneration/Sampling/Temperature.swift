// SPDX-License-Identifier: Apache-2.0
// Temperature.

/// Divides logits by the temperature.
package struct Temperature: LogitsProcessor {
    /// Above 0.
    package let temperature: Float

    /// Makes the step.
    package init(temperature: Float) { self.temperature = temperature }

    package func process(_ logits: inout [Float], tokens: [Int32]) {
        let inverse = 1 / max(temperature, 1e-5)
        for index in logits.indices { logits[index] *= inverse }
    }
}
