// SPDX-License-Identifier: Apache-2.0
// Gradients of a decoder against those of PyTorch.
import EftFormats
import EftModels
import EftNN
import Testing

/// Gradients of a fixture whose names begin with `prefix`, and the norm of all gradients.
struct GoldenGradients {
    let file: any CheckpointReader
    let prefix: String
    let norm: Double

    /// Asserts that gradients are off by less than `tolerance` of their tensor's largest number, and their norm by
    /// no more than `normTolerance` of itself.
    /// - Returns: how many tensors were compared.
    func compare(
        _ decoder: Decoder, tolerance: Float, normTolerance: Double
    ) throws -> Int {
        var (squares, compared) = (0.0, 0)
        for parameter in decoder.parameters {
            squares += (0..<parameter.gradient.floatCount).reduce(0) {
                let value = Double(parameter.gradient.floats[$1])
                return $0 + value * value
            }
            // PEFT's parameters of the head stand under the adapter's prefix.
            let path = [parameter.name, AdapterFile.prefix + parameter.name]
                .first { file.find(prefix + $0) != nil }
            guard let path else { continue }
            let wanted = try file.floats(of: prefix + path)
            let scale = wanted.reduce(1e-6) { max($0, abs($1)) }
            let own = rows(of: parameter, count: wanted.count)
            let error = zip(own, wanted).reduce(0) { max($0, abs($1.0 - $1.1)) } / scale
            #expect(error < tolerance, "\(parameter.name): \(error)")
            compared += 1
        }
        let found = squares.squareRoot()
        #expect(abs(found - norm) <= normTolerance * norm, "\(found), \(norm)")
        return compared
    }

    /// A gradient `[N][K]`: those of weights stand in panels of 16 rows.
    private func rows(of parameter: Parameter, count: Int) -> [Float] {
        let values = parameter.gradient.floats
        guard parameter.name.hasSuffix(".weight"), !parameter.name.contains("lora_") else {
            return (0..<count).map { values[$0] }
        }
        let columns = parameter.shape.columns
        return (0..<count).map { index in
            let (row, column) = (index / columns, index % columns)
            return values[row / 16 * columns * 16 + column * 16 + row % 16]
        }
    }
}
