// SPDX-License-Identifier: Apache-2.0
// The parts of low rank of a matrix: its largest singular vectors, and the first columns of its QR factors.
import CLAPACK

/// Finds B A of rank r for a matrix W `[N][K]`, with A `[r][K]` and B `[N][r]`.
///
/// Memory is entered in a ledger as workspace, but for what the library keeps for itself from then on (`libraryBytes`).
package struct LowRank: Sendable {
    /// How B A is found.
    package enum Method: Sendable, Hashable {
        /// The r largest singular values and vectors, exactly; B and A have the roots of the values each.
        case singular
        /// The same from the range that so many rounds of products with W and W' leave of random vectors (Halko et al.
        /// 2011, algorithm 4.4).
        case randomized(rounds: Int)
        /// The first r columns of Q and rows of R, W = Q R.
        case orthogonal
    }

    /// N.
    private let outputs: Int
    /// K.
    private let inputs: Int
    private let rank: Int
    private let ledger: MemoryLedger?

    /// Prepares for matrices of one form; the rank must not pass rows or columns.
    package init(outputs: Int, inputs: Int, rank: Int, ledger: MemoryLedger?) {
        precondition(rank > 0 && rank <= min(outputs, inputs), "a rank beyond the matrix")
        self.outputs = outputs
        self.inputs = inputs
        self.rank = rank
        self.ledger = ledger
    }

    /// Bytes that the library takes and never gives back, once it has worked on a matrix of this form: for packing and for code,
    /// as measured for ranks up to 512 and sides up to 32,000.
    package static func libraryBytes(
        _ method: Method, outputs: Int, inputs: Int, rank: Int, threads: Int
    ) -> Int {
        let eigenvectors =
            switch method {
            case .singular: min(outputs, inputs)
            case .randomized: rank
            case .orthogonal: 0
            }
        return threads * ((864 << 10) + 1280 * rank) + 2200 * eigenvectors
    }

    /// Numbers of a sum, and columns of a result, that the library is given at a time. It packs what it is given, on some
    /// processors all of it: in blocks that is the same few bytes everywhere.
    private static let (blockDepth, blockWidth) = (256, 512)

    /// Most bytes that finding takes besides W, A and B, and besides what the library keeps.
    package static func byteCount(
        _ method: Method, outputs: Int, inputs: Int, rank: Int
    ) -> Int {
        let size = min(outputs, inputs)
        switch method {
        case .singular:
            let turned = inputs <= outputs ? 4 * rank * outputs : 0
            return 8 * size * size + max(8 * size * SymmetricMatrix.chunk, 8 * size * rank + turned)
                + SymmetricMatrix.libraryBytes(size)
        case .randomized:
            return 4 * rank * (outputs + inputs) + 16 * rank * rank
                + SymmetricMatrix.libraryBytes(rank) + factorBytes(rank)
        case .orthogonal: return 4 * rank * outputs + factorBytes(rank)
        }
    }

    /// What sgeqrf and sorgqr take, in blocks of at most 64.
    private static func factorBytes(_ rank: Int) -> Int { 4 * rank * 66 + (1 << 12) }

    /// Fills A and B.
    /// - Parameter random: normal numbers, for the randomized method.
    /// - Returns: whether the library found them; not so for a matrix with infinite or NaN numbers.
    /// - Throws: `TensorError` when the memory does not fit the ledger.
    package func find(
        _ method: Method, of w: Matrix, a: Matrix, b: Matrix,
        random: () -> Float = { 0 }
    ) throws(TensorError) -> Bool {
        precondition(w.rows == outputs && w.columns == inputs)
        precondition(a.rows == rank && a.columns == inputs)
        precondition(b.rows == outputs && b.columns == rank)
        let own =
            switch method {
            case .singular: SymmetricMatrix.libraryBytes(min(outputs, inputs))
            case .randomized:
                SymmetricMatrix.libraryBytes(rank) + LowRank.factorBytes(rank)
            case .orthogonal: LowRank.factorBytes(rank)
            }
        let library = try LedgerEntry(own, ledger: ledger, purpose: .workspace)
        defer { withExtendedLifetime(library) {} }
        switch method {
        case .singular: return try singular(w, a, b)
        case .randomized(let rounds): return try randomized(w, a, b, rounds, random)
        case .orthogonal: return try orthogonal(w, a, b)
        }
    }

    // MARK: Singular vectors

    private func singular(_ w: Matrix, _ a: Matrix, _ b: Matrix) throws(TensorError) -> Bool {
        let size = min(outputs, inputs)
        let isTall = inputs <= outputs
        let gram = try doubles(size * size)
        do {
            let part = try doubles(SymmetricMatrix.chunk * size)
            SymmetricMatrix.addSquares(of: w, to: gram.doubles, part: part.doubles)
        }
        let vectors = try doubles(size * rank)
        guard
            let values = SymmetricMatrix.largest(
                gram.doubles, size: size, count: rank, vectors: vectors.doubles)
        else { return false }
        // The short side's vectors stand in A or B; products with W give the other side, times the values.
        for index in 0..<rank {
            for place in 0..<size {
                let value = Float(vectors.doubles[index * size + place])
                if isTall {
                    a.pointer[index * inputs + place] = value
                } else {
                    b.pointer[place * rank + index] = value
                }
            }
        }
        if isTall { try product(w, a, into: b) } else { productOfTransposed(b, w, into: a) }
        scale(a, b, values.map { $0.squareRoot() }, exact: isTall ? .a : .b)
        return true
    }

    private enum Side { case a, b }

    /// Gives A and B the roots of the singular values; the side that is not exact has the values whole already.
    private func scale(_ a: Matrix, _ b: Matrix, _ values: [Double], exact: Side) {
        for (index, value) in values.enumerated() {
            let root = value.squareRoot()
            let rest = value > 0 ? root / value : 0
            let (ofA, ofB) = exact == .a ? (Float(root), Float(rest)) : (Float(rest), Float(root))
            for column in 0..<inputs { a.pointer[index * inputs + column] *= ofA }
            for row in 0..<outputs { b.pointer[row * rank + index] *= ofB }
        }
    }

    // MARK: Random ranges

    private func randomized(
        _ w: Matrix, _ a: Matrix, _ b: Matrix, _ rounds: Int, _ random: () -> Float
    ) throws(TensorError) -> Bool {
        let (far, near) = (try floats(rank * outputs), try floats(rank * inputs))
        let x = Matrix(sharing: far, rows: rank, columns: outputs)
        let y = Matrix(sharing: near, rows: rank, columns: inputs)
        // As torch.svd_lowrank: the vectors begin on the short side.
        let isTall = inputs <= outputs
        let (long, short) = isTall ? (x, y) : (y, x)
        for index in 0..<short.count { short.pointer[index] = random() }
        for round in 0...rounds {
            if round > 0 {
                across(w, from: long, to: short, startsAtOutputs: isTall)
                guard orthonormalize(short) else { return false }
            }
            across(w, from: short, to: long, startsAtOutputs: !isTall)
            guard orthonormalize(long) else { return false }
        }
        across(w, from: long, to: short, startsAtOutputs: isTall)
        // What is left is a matrix of r rows: W = long' short.
        let gram = try doubles(rank * rank)
        for i in 0..<rank {
            for j in 0...i {
                var sum = 0.0
                for k in 0..<short.columns {
                    sum +=
                        Double(short.pointer[i * short.columns + k])
                        * Double(short.pointer[j * short.columns + k])
                }
                gram.doubles[i * rank + j] = sum
            }
        }
        let vectors = try doubles(rank * rank)
        guard
            let squares = SymmetricMatrix.largest(
                gram.doubles, size: rank, count: rank, vectors: vectors.doubles)
        else { return false }
        turn(short, by: vectors, into: isTall ? .a : .b, a, b)
        turn(long, by: vectors, into: isTall ? .b : .a, a, b)
        scale(a, b, squares.map { $0.squareRoot() }, exact: isTall ? .b : .a)
        return true
    }

    /// Rows of vectors on one side of W to the other: y = x W, or x = y W'.
    private func across(
        _ w: Matrix, from source: Matrix, to target: Matrix, startsAtOutputs: Bool
    ) {
        multiply(
            source.columns, target,
            left: { (CblasNoTrans, source.pointer + $0, source.columns) },
            right: { depth, column in
                startsAtOutputs
                    ? (CblasNoTrans, w.pointer + depth * inputs + column)
                    : (CblasTrans, w.pointer + column * inputs + depth)
            })
    }

    /// Fills a matrix of r rows with a product, block by block.
    /// - Parameters:
    ///   - count: numbers of each sum.
    ///   - left: the first factor from a place of the sums on, with the step between its rows.
    ///   - right: W from a place of the sums and a column of the result on.
    private func multiply(
        _ count: Int, _ target: Matrix,
        left: (Int) -> (CBLAS_TRANSPOSE, UnsafeMutablePointer<Float>, Int),
        right: (Int, Int) -> (CBLAS_TRANSPOSE, UnsafeMutablePointer<Float>)
    ) {
        for column in stride(from: 0, to: target.columns, by: Self.blockWidth) {
            let width = min(Self.blockWidth, target.columns - column)
            for depth in stride(from: 0, to: count, by: Self.blockDepth) {
                let (turned, numbers, step) = left(depth)
                let (across, weights) = right(depth, column)
                cblas_sgemm(
                    CblasRowMajor, turned, across, blasint(rank), blasint(width),
                    blasint(min(Self.blockDepth, count - depth)), 1, numbers, blasint(step),
                    weights,
                    blasint(inputs), depth == 0 ? 0 : 1, target.pointer + column,
                    blasint(target.columns))
            }
        }
    }

    /// Makes rows orthonormal by QR of their transpose.
    private func orthonormalize(_ rows: Matrix) -> Bool {
        let (m, n) = (Int32(rows.columns), Int32(rows.rows))
        var factors = [Float](repeating: 0, count: rows.rows)
        guard LAPACKE_sgeqrf(LAPACK_COL_MAJOR, m, n, rows.pointer, m, &factors) == 0 else {
            return false
        }
        return LAPACKE_sorgqr(LAPACK_COL_MAJOR, m, n, n, rows.pointer, m, factors) == 0
    }

    /// Rows that are combined by the vectors' rows, as A or as the columns of B.
    private func turn(
        _ rows: Matrix, by vectors: Buffer, into side: Side, _ a: Matrix, _ b: Matrix
    ) {
        for column in 0..<rows.columns {
            for index in 0..<rank {
                var sum = 0.0
                for place in 0..<rank {
                    sum +=
                        vectors.doubles[index * rank + place]
                        * Double(rows.pointer[place * rows.columns + column])
                }
                if side == .a {
                    a.pointer[index * inputs + column] = Float(sum)
                } else {
                    b.pointer[column * rank + index] = Float(sum)
                }
            }
        }
    }

    // MARK: QR

    private func orthogonal(_ w: Matrix, _ a: Matrix, _ b: Matrix) throws(TensorError) -> Bool {
        // The first columns of Q are those of the first columns of W alone, and R is Q' W.
        let columns = Matrix(
            sharing: try floats(rank * outputs), rows: rank, columns: outputs)
        for row in 0..<outputs {
            for index in 0..<rank {
                columns.pointer[index * outputs + row] = w.pointer[row * inputs + index]
            }
        }
        guard orthonormalize(columns) else { return false }
        for row in 0..<outputs {
            for index in 0..<rank {
                b.pointer[row * rank + index] = columns.pointer[index * outputs + row]
            }
        }
        across(w, from: columns, to: a, startsAtOutputs: true)
        // R is triangular.
        for index in 0..<rank {
            for column in 0..<index { a.pointer[index * inputs + column] = 0 }
        }
        return (0..<a.count).allSatisfy { a.pointer[$0].isFinite }
    }

    // MARK: Subspaces

    /// Fills A and B at random so that B A is zero: even and odd rows of an orthonormal basis have nothing in common.
    /// - Parameters:
    ///   - basis: r x r normal numbers.
    ///   - random: normal numbers.
    /// - Returns: false for an odd rank.
    package static func fillOrthogonally(
        a: Matrix, b: Matrix, basis: [Float], random: () -> Float
    ) -> Bool {
        let rank = a.rows
        precondition(basis.count == rank * rank && b.columns == rank)
        guard rank % 2 == 0 else { return false }
        // The columns of Q stand row by row.
        var q = basis
        var factors = [Float](repeating: 0, count: rank)
        let n = Int32(rank)
        guard LAPACKE_sgeqrf(LAPACK_COL_MAJOR, n, n, &q, n, &factors) == 0,
            LAPACKE_sorgqr(LAPACK_COL_MAJOR, n, n, n, &q, n, factors) == 0
        else { return false }
        func fill(_ length: Int, _ parity: Int, _ put: (_ row: Int, _ place: Int, Float) -> Void) {
            for place in 0..<length {
                let draws = (0..<rank / 2).map { _ in random() / 10 }
                for row in 0..<rank {
                    var sum: Float = 0
                    for (half, draw) in draws.enumerated() {
                        sum += draw * q[(2 * half + parity) * rank + row]
                    }
                    put(row, place, sum)
                }
            }
        }
        fill(a.columns, 0) { a.pointer[$0 * a.columns + $1] = $2 }
        fill(b.rows, 1) { b.pointer[$1 * rank + $0] = $2 }
        return true
    }

    // MARK: Memory and products

    private func doubles(_ count: Int) throws(TensorError) -> Buffer {
        try Buffer(byteCount: count * 8, ledger: ledger, purpose: .workspace)
    }

    private func floats(_ count: Int) throws(TensorError) -> Buffer {
        try Buffer(byteCount: count * 4, ledger: ledger, purpose: .workspace)
    }

    /// B = W A', by way of A W': the library packs blocks of A, not of W's many rows.
    private func product(_ w: Matrix, _ a: Matrix, into b: Matrix) throws(TensorError) {
        let turned = Matrix(sharing: try floats(rank * outputs), rows: rank, columns: outputs)
        across(w, from: a, to: turned, startsAtOutputs: false)
        for row in 0..<outputs {
            for index in 0..<rank {
                b.pointer[row * rank + index] = turned.pointer[index * outputs + row]
            }
        }
    }

    /// A = B' W.
    private func productOfTransposed(_ b: Matrix, _ w: Matrix, into a: Matrix) {
        multiply(
            outputs, a,
            left: { (CblasTrans, b.pointer + $0 * rank, rank) },
            right: { (CblasNoTrans, w.pointer + $0 * inputs + $1) })
    }
}

extension Buffer {
    /// The memory as 64-bit numbers.
    fileprivate var doubles: UnsafeMutablePointer<Double> {
        base.assumingMemoryBound(to: Double.self)
    }
}
