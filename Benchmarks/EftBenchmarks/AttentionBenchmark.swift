// SPDX-License-Identifier: Apache-2.0
// Attention of one row over a long context, in every form of a cache, beside what memory gives.
import EftPlanning
import EftTensor

/// Times attention as a decoding sequence asks for it.
package enum AttentionBenchmark {
    private static let tokens = 8192

    /// Heads of TinyLlama and of Llama 3.1 8B.
    private static let shapes = [
        (heads: 32, kvHeads: 4, dim: 64), (heads: 32, kvHeads: 8, dim: 128),
    ]

    /// Runs all.
    package static func run(
        _ backend: CPUBackend, _ limits: MachineLimits
    ) throws -> [BenchmarkResult] {
        try shapes.flatMap { heads, kvHeads, dim in
            try KVType.allCases.map { type in
                let shape = AttentionShape(
                    heads: heads, kvHeads: kvHeads, headDim: dim, scale: 0.125, kvType: type)
                let seconds = try time(shape, backend)
                let bytes = Double(backend.pageBytes(shape)) / Double(pageTokens)
                return BenchmarkResult(
                    "attention, \(heads)/\(kvHeads) heads of \(dim), \(tokens) tokens in "
                        + type.rawValue,
                    Double(tokens) / seconds / 1e6, "Mtokens/s",
                    limit: limits.readBandwidth / bytes / 1e6, limitName: "read bandwidth")
            }
        }
    }

    /// Seconds of one layer; enough layers that their pages do not stay in the caches.
    private static func time(_ shape: AttentionShape, _ backend: CPUBackend) throws -> Double {
        let pageBytes = (backend.pageBytes(shape) + 63) / 64 * 64
        let pages = tokens / pageTokens, layers = max(2, (128 << 20) / (pages * pageBytes))
        let k = try numbers(rows: tokens, columns: shape.kvHeads * shape.headDim)
        let memory = try (0..<layers).map { _ in
            try Buffer(byteCount: pages * pageBytes, ledger: nil, purpose: .kvCache)
        }
        let lists = memory.map { buffer in
            PageList((0..<pages).map { buffer.base + $0 * pageBytes })
        }
        for list in lists { backend.writeKV(shape, k: k, v: k, firstPosition: 0, pages: list) }
        let q = try numbers(rows: 1, columns: shape.heads * shape.headDim)
        let out = try Matrix(rows: 1, columns: q.columns, ledger: nil)
        let seconds = Stopwatch.median(5) {
            for list in lists {
                let run = AttentionRun(rows: 0..<1, firstPosition: tokens - 1, pages: list)
                backend.attention(shape, runs: [run], q: q, out: out, lse: nil)
            }
        }
        withExtendedLifetime(memory) {}
        return seconds / Double(layers)
    }

    private static func numbers(rows: Int, columns: Int) throws -> Matrix {
        let matrix = try Matrix(rows: rows, columns: columns, ledger: nil)
        for index in 0..<matrix.count { matrix.pointer[index] = Float(index % 61) * 0.03 - 0.9 }
        return matrix
    }
}
