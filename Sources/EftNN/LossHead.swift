// SPDX-License-Identifier: Apache-2.0
// From hidden states to the loss, in chunks of rows: full logits are never held.
import EftTensor

/// Cross entropy of hidden states behind a linear head, forward and backward in one go.
package struct LossHead: Sendable {
    /// The head.
    package let head: Linear
    /// What becomes of its products.
    package let transform: LogitTransform
    /// Logits of one chunk `[chunk][V]`.
    private let logits: Matrix
    /// The same, kept for the backward pass of a cap.
    private let capped: Matrix?

    /// Rows of a chunk: as many as 16 MiB of logits hold, at least one, at most `rows`.
    package static func chunkRows(vocabulary: Int, rows: Int) -> Int {
        max(1, min(rows, (16 << 20) / (vocabulary * 4)))
    }

    /// Bytes of the chunk's logits.
    package static func byteCount(
        vocabulary: Int, rows: Int, _ transform: LogitTransform, backward: Bool
    ) -> Int {
        chunkRows(vocabulary: vocabulary, rows: rows) * vocabulary * 4
            * (backward && transform.cap != nil ? 2 : 1)
    }

    /// Takes memory for batches of at most `rows` rows.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(
        head: Linear, transform: LogitTransform, rows: Int, backward: Bool, ledger: MemoryLedger?
    ) throws(TensorError) {
        self.head = head
        self.transform = transform
        let vocabulary = head.weight.outputs
        func chunk() throws(TensorError) -> Matrix {
            try Matrix(
                rows: LossHead.chunkRows(vocabulary: vocabulary, rows: rows), columns: vocabulary,
                ledger: ledger)
        }
        logits = try chunk()
        capped = backward && transform.cap != nil ? try chunk() : nil
    }

    /// The loss of each row (0 where the label is negative).
    ///
    /// With `gradientScale` not 0, `gradient` becomes the gradient of the hidden states of the summed loss times that
    /// factor, and the head's own gradients are added to.
    /// - Parameter smoothing: the share of what is wanted that all tokens have in equal parts.
    package func losses(
        hidden: Matrix, labels: [Int32], gradientScale: Float, smoothing: Float = 0,
        gradient: Matrix?, _ pass: Pass
    ) throws -> [Float] {
        precondition(labels.count == hidden.rows)
        var losses = [Float](repeating: 0, count: hidden.rows)
        for rows in chunks(of: hidden.rows) {
            let chunk = try logits(hidden, rows: rows, pass)
            if gradientScale != 0 { keep(chunk) }
            losses.withUnsafeMutableBufferPointer { all in
                pass.backend.crossEntropy(
                    logits: chunk, labels: labels[rows], gradientScale: gradientScale,
                    smoothing: smoothing, losses: UnsafeMutableBufferPointer(rebasing: all[rows]))
            }
            if let gradient, gradientScale != 0 {
                transform.backward(chunk, capped: capped, pass.backend)
                try head.backward(
                    hidden.rows(rows), dy: chunk, into: gradient.rows(rows), accumulate: false,
                    pass.rows(rows))
            }
        }
        return losses
    }

    /// The loss of each row if its logits were twice as large (0 where the label is negative).
    package func sharperLosses(hidden: Matrix, labels: [Int32], _ pass: Pass) throws -> [Float] {
        precondition(labels.count == hidden.rows)
        var losses = [Float](repeating: 0, count: hidden.rows)
        for rows in chunks(of: hidden.rows) {
            let chunk = try logits(hidden, rows: rows, pass)
            pass.backend.scale(chunk, by: 2)
            losses.withUnsafeMutableBufferPointer { all in
                pass.backend.crossEntropy(
                    logits: chunk, labels: labels[rows], gradientScale: 0, smoothing: 0,
                    losses: UnsafeMutableBufferPointer(rebasing: all[rows]))
            }
        }
        return losses
    }

    /// The gradient of the hidden states of the sum of rows' losses, each times a scale of its own, into `gradient`; the
    /// head's own gradients are added to.
    package func gradient(
        hidden: Matrix, labels: [Int32], scales: [Float], into gradient: Matrix, _ pass: Pass
    ) throws {
        precondition(labels.count == hidden.rows && scales.count == hidden.rows)
        var losses = [Float](repeating: 0, count: logits.rows)
        for rows in chunks(of: hidden.rows) {
            let chunk = try logits(hidden, rows: rows, pass)
            keep(chunk)
            var first = rows.lowerBound
            while first < rows.upperBound {
                let scale = scales[first]
                let end =
                    rows[first...].dropFirst().first { scales[$0] != scale } ?? rows.upperBound
                // Rows without a label have no gradient, whatever the scale.
                let asked =
                    scale == 0
                    ? [Int32](repeating: -1, count: end - first)[...] : labels[first..<end]
                losses.withUnsafeMutableBufferPointer { all in
                    pass.backend.crossEntropy(
                        logits: chunk.rows(first - rows.lowerBound..<end - rows.lowerBound),
                        labels: asked, gradientScale: scale == 0 ? 1 : scale, smoothing: 0,
                        losses: all)
                }
                first = end
            }
            transform.backward(chunk, capped: capped, pass.backend)
            try head.backward(
                hidden.rows(rows), dy: chunk, into: gradient.rows(rows), accumulate: false,
                pass.rows(rows))
        }
    }

    /// What the head gives for some rows: `[rows.count][V]`.
    package func values(hidden: Matrix, rows: [Int], _ pass: Pass) throws -> [Float] {
        var values = [Float](repeating: 0, count: rows.count * head.weight.outputs)
        try forEachChunk(hidden, of: rows) { chunk, range, asked in
            _ = try logits(hidden, rows: range, pass)
            for (place, row) in asked {
                for column in 0..<chunk.columns {
                    values[place * chunk.columns + column] =
                        chunk.pointer[row * chunk.columns + column]
                }
            }
        }
        return values
    }

    /// The gradient of the hidden states of a function of what the head gives for some rows, into `gradient`; the head's
    /// own gradients are added to.
    /// - Parameter slopes: the function's change with each of these values, `[rows.count][V]`.
    package func gradient(
        hidden: Matrix, rows: [Int], slopes: [Float], into gradient: Matrix, _ pass: Pass
    ) throws {
        precondition(slopes.count == rows.count * head.weight.outputs)
        try forEachChunk(hidden, of: rows) { chunk, range, asked in
            chunk.zero()
            for (place, row) in asked {
                for column in 0..<chunk.columns {
                    chunk.pointer[row * chunk.columns + column] =
                        slopes[place * chunk.columns + column]
                }
            }
            try head.backward(
                hidden.rows(range), dy: chunk, into: gradient.rows(range), accumulate: false,
                pass.rows(range))
        }
    }

    /// Goes through all chunks, with the memory of their logits and the asked rows that each holds: their places in the
    /// list, and in the chunk.
    private func forEachChunk(
        _ hidden: Matrix, of rows: [Int],
        _ body: (_ chunk: Matrix, _ range: Range<Int>, _ asked: [(place: Int, row: Int)]) throws
            -> Void
    ) throws {
        for range in chunks(of: hidden.rows) {
            let asked = rows.enumerated().filter { range.contains($0.element) }
                .map { (place: $0.offset, row: $0.element - range.lowerBound) }
            try body(logits.rows(0..<range.count), range, asked)
        }
    }

    /// The chunks in which rows go through the head.
    package func chunks(of rows: Int) -> [Range<Int>] {
        stride(from: 0, to: rows, by: logits.rows).map { $0..<min($0 + logits.rows, rows) }
    }

    /// The logits `[rows.count][V]` of one chunk of hidden states; the next chunk overwrites them.
    package func logits(_ hidden: Matrix, rows: Range<Int>, _ pass: Pass) throws -> Matrix {
        let chunk = logits.rows(0..<rows.count)
        try head.forward(hidden.rows(rows), into: chunk, pass.rows(rows))
        transform.forward(chunk, pass.backend)
        return chunk
    }

    /// Keeps logits that are about to become their gradient.
    private func keep(_ chunk: Matrix) {
        capped?.pointer.update(from: chunk.pointer, count: chunk.count)
    }
}

extension Pass {
    /// The same pass seen by a chunk of its rows.
    package func rows(_ range: Range<Int>) -> Pass {
        // Chunks must not get the same dropout mask.
        part(
            range,
            dropoutSeed: dropoutSeed.map {
                $0 &+ UInt64(range.lowerBound) &* 0xD134_2543_DE82_EF95
            })
    }
}
