// SPDX-License-Identifier: Apache-2.0
// Trained matrices as a whole, in rows and in panels.
import EftTensor
import Testing

@Suite struct MatrixMeansTests {
    private func value(_ row: Int, _ column: Int) -> Float {
        Float((row * 7919 + column * 104729) % 2003 - 1001) / 1001
    }

    private func place(_ shape: ParameterShape, _ row: Int, _ column: Int) -> Int {
        guard shape.order == .panels else { return row * shape.columns + column }
        return (row / 16 * roundUp(shape.columns, to: 32) + column) * 16 + row % 16
    }

    private func filled(_ shape: ParameterShape) throws -> Buffer {
        let buffer = try Buffer(
            byteCount: shape.storedCount * 4, ledger: nil, purpose: .optimizer)
        for row in 0..<shape.rows {
            for column in 0..<shape.columns {
                buffer.floats[place(shape, row, column)] = value(row, column)
            }
        }
        return buffer
    }

    static let shapes: [ParameterShape] = [
        (1, 1), (3, 5), (16, 32), (17, 33), (64, 200), (130, 257),
    ].flatMap { [.matrix(rows: $0, columns: $1), .panels(outputs: $0, inputs: $1)] }

    @Test(arguments: shapes)
    func `means of squares are those of rows and columns`(_ shape: ParameterShape) throws {
        let (one, many) = try (CPUBackend(threads: 1), CPUBackend(threads: 3))
        let x = try filled(shape)
        func means(_ backend: CPUBackend) throws -> (rows: [Float], columns: [Float]) {
            let rows = try Matrix(rows: 1, columns: shape.rows, ledger: nil)
            let columns = try Matrix(rows: 1, columns: shape.columns, ledger: nil)
            backend.squareMeans(x, shape, floor: 0.5, rows: rows, columns: columns)
            return (
                (0..<shape.rows).map { rows.pointer[$0] },
                (0..<shape.columns).map { columns.pointer[$0] }
            )
        }
        let found = try means(one)
        let again = try means(many)
        #expect(found.rows == again.rows && found.columns == again.columns)
        for row in 0..<shape.rows {
            let squares = (0..<shape.columns).map {
                Double(value(row, $0)) * Double(value(row, $0))
            }
            let mean = squares.reduce(0, +) / Double(shape.columns) + 0.5
            #expect(abs(Double(found.rows[row]) - mean) < 1e-6)
        }
        for column in 0..<shape.columns {
            let squares = (0..<shape.rows).map {
                Double(value($0, column)) * Double(value($0, column))
            }
            let mean = squares.reduce(0, +) / Double(shape.rows) + 0.5
            #expect(abs(Double(found.columns[column]) - mean) < 1e-6)
        }
    }

    @Test(arguments: shapes)
    func `factors, reading and adding keep to rows and columns`(_ shape: ParameterShape) throws {
        let backend = try CPUBackend(threads: 2)
        let x = try filled(shape)
        let rows = try Matrix(rows: 1, columns: shape.rows, ledger: nil)
        let columns = try Matrix(rows: 1, columns: shape.columns, ledger: nil)
        for row in 0..<shape.rows { rows.pointer[row] = Float(row + 1) }
        for column in 0..<shape.columns { columns.pointer[column] = 1 / Float(column + 1) }
        backend.scale(x, shape, rows: rows, columns: columns)
        let out = try Matrix(rows: shape.rows, columns: shape.columns, ledger: nil)
        backend.read(x, shape, into: out)
        for row in 0..<shape.rows {
            for column in 0..<shape.columns {
                let expected = value(row, column) * (Float(row + 1) * (1 / Float(column + 1)))
                #expect(out.pointer[row * shape.columns + column] == expected)
            }
        }
        backend.add(out, factor: -1, to: x, shape, keeping: 1)
        #expect((0..<shape.storedCount).allSatisfy { x.floats[$0] == 0 })
    }
}
