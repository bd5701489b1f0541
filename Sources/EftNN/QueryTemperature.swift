// SPDX-License-Identifier: Apache-2.0
// Queries that grow with their positions in layers that do not rotate (Nakanishi 2025, as Llama 4 has it).
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// A query at position p is multiplied by 1 + scale * log(1 + floor((p + 1) / interval)).
package struct QueryTemperature: Sendable, Hashable {
    /// Positions over which the factor stays.
    package var interval: Int
    /// How fast it grows.
    package var scale: Float

    /// States a temperature.
    package init(interval: Int, scale: Float) {
        precondition(interval > 0)
        self.interval = interval
        self.scale = scale
    }

    /// The factor of a query.
    func factor(position: Int) -> Float {
        1 + scale * log1pf(Float((position + 1) / interval))
    }
}

extension DecoderLayer {
    /// Multiplies queries, or their gradients, by what their positions say.
    func temper(_ queries: Matrix, _ state: LayerPass) {
        guard let temperature = shape.temperature else { return }
        for run in state.batch.runs {
            for row in run.rows {
                let position = run.firstPosition + row - run.rows.lowerBound
                let factor = temperature.factor(position: position)
                guard factor != 1 else { continue }
                let first = row * queries.columns
                for index in first..<first + queries.columns { queries.pointer[index] *= factor }
            }
        }
    }
}
