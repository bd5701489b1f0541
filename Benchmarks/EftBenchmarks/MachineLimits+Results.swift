// SPDX-License-Identifier: Apache-2.0
// The machine's limits in the table of benchmarks.
import EftPlanning

extension MachineLimits {
    /// The limits as results.
    package var results: [BenchmarkResult] {
        var all = [
            BenchmarkResult("memory read, all workers", readBandwidth / 1e9, "GB/s"),
            BenchmarkResult("f32 FMA, all workers", fmaPeak / 1e9, "GFLOP/s"),
        ]
        if bf16Peak > 0 {
            all.append(BenchmarkResult("bf16 dot products, all workers", bf16Peak / 1e9, "GFLOP/s"))
        }
        if int16Peak > 0 {
            all.append(
                BenchmarkResult("int16 dot products, all workers", int16Peak / 1e9, "GFLOP/s"))
        }
        if int8Peak > 0 {
            all.append(BenchmarkResult("int8 dot products, all workers", int8Peak / 1e9, "GFLOP/s"))
        }
        return all
    }
}
