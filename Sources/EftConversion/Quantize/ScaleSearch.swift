// SPDX-License-Identifier: Apache-2.0
// The scales of one EXL2 group: a code for each output and one maximum, found by a search over 97 clippings.
import EftFormats
import EftQuant
import EftTensor

/// The scales of a group, as the format stores them and as a reader computes them.
package struct GroupScales: Sendable {
    /// s of each output, 1...16.
    package let codes: [UInt8]
    /// Half bits of `q_scale_max`.
    package let scaleMax: UInt16
    /// half(s^2 * half(scale_max / 256)) of each output; 0 for a group whose numbers are too small for halves.
    package let values: [Float]
    /// Which clipping won, 0...96.
    package let gridIndex: Int
}

/// Finds the scales of a group: that clipping whose rounding errors to the power 3.5 have the least sum.
package enum ScaleSearch {
    private static let gridCount = 97
    /// Adding and taking away rounds a float of less than 2^22 to the nearest integer, ties to even.
    @usableFromInline static let rounder: Float = 12_582_912

    /// Bytes of the temporary numbers for so many columns, under `.workspace`: five for each column, and three for each
    /// column of each worker.
    package static func byteCount(columns: Int, threads: Int) -> Int {
        columns * (4 * 4 + 1) + threads * 3 * columns * 4
    }

    /// Searches.
    /// - Parameters:
    ///   - x: numbers `[rows][columns]`, all finite.
    ///   - bits: width of a code.
    /// - Throws: `ConversionError` (`numbers`) when the scale is too large for a half.
    package static func search(
        _ x: UnsafePointer<Float>, rows: Int, columns: Int, bits: Int, backend: CPUBackend
    ) throws(ConversionError) -> GroupScales {
        let high = Float((1 << bits) - 1)
        let base = largest(x, rows: rows, columns: columns).map { ($0 + 1e-12) / (high / 2) }
        let top = base.max() ?? 0
        let codes = base.map { value in
            UInt8(min(max((16 * (value / top).squareRoot()).rounded(.toNearestOrEven), 1), 16))
        }
        let steps = codes.map { code in
            let share = Float(code) / 16
            return share * share * top
        }
        var errors = [Double](repeating: 0, count: gridCount)
        errors.withUnsafeMutableBufferPointer { errors in
            nonisolated(unsafe) let (errors, x) = (errors, x)
            backend.parallelFor(gridCount) { index in
                errors[index] = error(
                    x, rows: rows, steps: steps, factor: factor(index), bits: bits)
            }
        }
        var best = 0
        for index in 1..<gridCount where errors[index] < errors[best] { best = index }
        let scaleMax = ElementConversion.half(top * factor(best))
        guard ElementConversion.float(half: scaleMax).isFinite else {
            throw ConversionError(
                .numbers, "weights are too large for the half-precision scales of EXL2")
        }
        let table = EXL2Scale.table(scaleMax: scaleMax).map(ElementConversion.float(half:))
        return GroupScales(
            codes: codes, scaleMax: scaleMax, values: codes.map { table[Int($0) - 1] },
            gridIndex: best)
    }

    private static func factor(_ index: Int) -> Float {
        let share = Float(index) / 96
        return 0.70 * (1 - share) + 1.20 * share
    }

    private static func largest(
        _ x: UnsafePointer<Float>, rows: Int, columns: Int
    ) -> [Float] {
        var most = [Float](repeating: 0, count: columns)
        most.withUnsafeMutableBufferPointer { most in
            for row in 0..<rows {
                let line = x + row * columns
                for column in 0..<columns {
                    let value = abs(line[column])
                    most[column] = value > most[column] ? value : most[column]
                }
            }
        }
        return most
    }

    /// The sum of |rounded - x|^3.5 when the scales are `steps * factor`.
    private static func error(
        _ x: UnsafePointer<Float>, rows: Int, steps: [Float], factor: Float, bits: Int
    ) -> Double {
        let columns = steps.count
        let low = -Float(1 << (bits - 1))
        let high = Float((1 << (bits - 1)) - 1)
        return withUnsafeTemporaryAllocation(of: Float.self, capacity: 3 * columns) { room in
            guard let scale = room.baseAddress else { return 0 }
            let (inverse, sums) = (scale + columns, scale + 2 * columns)
            for column in 0..<columns {
                scale[column] = steps[column] * factor
                inverse[column] = 1 / scale[column]
                sums[column] = 0
            }
            for row in 0..<rows {
                let line = x + row * columns
                for column in 0..<columns {
                    let value = line[column]
                    var code = value * inverse[column]
                    code = code < low ? low : code
                    code = code > high ? high : code
                    code = (code + rounder) - rounder
                    let distance = abs(code * scale[column] - value)
                    sums[column] += distance * distance * distance * distance.squareRoot()
                }
            }
            var sum = 0.0
            for column in 0..<columns { sum += Double(sums[column]) }
            return sum
        }
    }
}
