// SPDX-License-Identifier: Apache-2.0
// What this machine can do at best, measured in the same run as what is compared with it.
import CEftKernels
import EftTensor

/// Read bandwidth and peak arithmetic of all workers.
package struct MachineLimits: Sendable {
    /// Bytes per second that all workers together read from memory.
    package let readBandwidth: Double
    /// f32 operations per second, two for each fused multiply-add.
    package let fmaPeak: Double
    /// bf16 dot-product operations per second; 0 where the machine has none.
    package let bf16Peak: Double

    /// The peak that bounds products with bf16 and quantized weights.
    package var productPeak: Double { bf16Peak > 0 ? bf16Peak : fmaPeak }

    /// What `productPeak` is called.
    package var productPeakName: String { bf16Peak > 0 ? "bf16 peak" : "FMA peak" }

    /// Measures; takes about two seconds.
    /// - Throws: `TensorError` when 256 MiB cannot be had.
    package init(_ backend: CPUBackend) throws(TensorError) {
        let context = backend.context
        var sink: Float = 0
        let memory = try Buffer(byteCount: 256 << 20, ledger: nil, purpose: .workspace)
        // Touched first, so that every page is really there.
        memory.bytes.initializeMemory(as: UInt8.self, repeating: 1)
        let read = Stopwatch.median(7) {
            eft_limit_read(context, memory.base, memory.byteCount, &sink)
        }
        readBandwidth = Double(memory.byteCount) / read
        let rounds = 10_000_000
        var operations = 0.0
        let fma = Stopwatch.median(7) { operations = eft_limit_fma(context, rounds, &sink) }
        fmaPeak = operations / fma
        let bf16 = Stopwatch.median(7) { operations = eft_limit_bf16(context, rounds, &sink) }
        bf16Peak = operations / bf16
        precondition(!sink.isNaN)
    }

    /// The limits as results.
    package var results: [BenchmarkResult] {
        var all = [
            BenchmarkResult("memory read, all workers", readBandwidth / 1e9, "GB/s"),
            BenchmarkResult("f32 FMA, all workers", fmaPeak / 1e9, "GFLOP/s"),
        ]
        if bf16Peak > 0 {
            all.append(BenchmarkResult("bf16 dot products, all workers", bf16Peak / 1e9, "GFLOP/s"))
        }
        return all
    }
}
