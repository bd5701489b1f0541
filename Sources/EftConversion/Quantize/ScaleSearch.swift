// SPDX-License-Identifier: Apache-2.0
// The scales of one group; EXL2's: a code for each output and one maximum, found by a search over 97 clippings.
import CEftKernels
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
    /// Half bits of the scales that outputs have for themselves, in GPTQ's files; empty in EXL2's.
    package var own: [UInt16] = []

    /// What a reader computes for some outputs.
    func decoded(_ outputs: Range<Int>) -> [Float] {
        if !own.isEmpty { return own[outputs].map(ElementConversion.float(half:)) }
        let table = EXL2Scale.table(scaleMax: scaleMax).map(ElementConversion.float(half:))
        return codes[outputs].map { table[Int($0) - 1] }
    }

    /// The same without the values, which are four times as large as the codes.
    var stored: GroupScales {
        GroupScales(
            codes: codes, scaleMax: scaleMax, values: [], gridIndex: gridIndex, own: own)
    }
}

/// Finds the scales of a group: that clipping whose rounding errors to the power 3.5 have the least sum.
package enum ScaleSearch {
    private static let gridCount = 97
    /// The clippings: what the largest scale is multiplied by.
    private static let grid = (0..<gridCount).map { index in
        let share = Float(index) / 96
        return 0.70 * (1 - share) + 1.20 * share
    }

    /// Bytes of the temporary numbers for so many columns, under `.workspace`: five for each column, and the kernel's.
    package static func byteCount(columns: Int) -> Int {
        columns * (4 * 4 + 1) + eft_exl2_errors_workspace(columns, gridCount)
    }

    /// Searches.
    /// - Parameters:
    ///   - x: numbers `[rows][columns]`, all finite.
    ///   - bits: width of a code.
    /// - Throws: `ConversionError` (`numbers`) when the scale is too large for a half; `TensorError`.
    package static func search(
        _ x: UnsafePointer<Float>, rows: Int, columns: Int, bits: Int, backend: CPUBackend
    ) throws -> GroupScales {
        let room = try LedgerEntry(
            byteCount(columns: columns), ledger: backend.ledger, purpose: .workspace)
        defer { withExtendedLifetime(room) {} }
        let high = Float((1 << bits) - 1)
        let base = largest(x, rows: rows, columns: columns, backend).map {
            ($0 + 1e-12) / (high / 2)
        }
        let top = base.max() ?? 0
        let codes = base.map { value in
            UInt8(min(max((16 * (value / top).squareRoot()).rounded(.toNearestOrEven), 1), 16))
        }
        let steps = codes.map { code in
            let share = Float(code) / 16
            return share * share * top
        }
        let best = leastError(x, rows: rows, bits: bits, steps: steps, backend)
        let scaleMax = ElementConversion.half(top * grid[best])
        guard ElementConversion.float(half: scaleMax).isFinite else {
            throw ConversionError(
                .numbers, "weights are too large for the half-precision scales of EXL2")
        }
        let table = EXL2Scale.table(scaleMax: scaleMax).map(ElementConversion.float(half:))
        return GroupScales(
            codes: codes, scaleMax: scaleMax, values: codes.map { table[Int($0) - 1] },
            gridIndex: best)
    }

    static func largest(
        _ x: UnsafePointer<Float>, rows: Int, columns: Int, _ backend: CPUBackend
    ) -> [Float] {
        [Float](unsafeUninitializedCapacity: columns) { most, count in
            eft_exl2_largest(backend.context, rows, columns, x, most.baseAddress)
            count = columns
        }
    }

    /// The first clipping of the least error.
    private static func leastError(
        _ x: UnsafePointer<Float>, rows: Int, bits: Int, steps: [Float], _ backend: CPUBackend
    ) -> Int {
        var errors = [Double](repeating: 0, count: gridCount)
        let bytes = eft_exl2_errors_workspace(steps.count, gridCount)
        withUnsafeTemporaryAllocation(byteCount: bytes, alignment: 64) { workspace in
            eft_exl2_errors(
                backend.context, rows, steps.count, UInt32(bits), x, steps, gridCount, grid,
                &errors, workspace.baseAddress)
        }
        var best = 0
        for index in 1..<gridCount where errors[index] < errors[best] { best = index }
        return best
    }
}
