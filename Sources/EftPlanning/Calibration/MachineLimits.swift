// SPDX-License-Identifier: Apache-2.0
// What this machine can do at best, measured in the same run as what is compared with it.
import CEftKernels
import EftModels
import EftTensor

/// Read bandwidth and peak arithmetic of all workers.
package struct MachineLimits: Sendable, Hashable {
    /// Bytes per second that all workers together read from memory.
    package private(set) var readBandwidth = 0.0
    /// f32 operations per second, two for each fused multiply-add.
    package private(set) var fmaPeak = 0.0
    /// bf16 dot-product operations per second; 0 on levels that have none.
    package private(set) var bf16Peak = 0.0
    /// Operations per second of dot products of 16-bit integers; 0 on the scalar level.
    package private(set) var int16Peak = 0.0
    /// Operations per second of dot products of four bytes; 0 on levels that have none.
    package private(set) var int8Peak = 0.0

    /// A peak of arithmetic, and what it is called.
    package struct Peak: Sendable {
        /// Operations per second.
        package let value: Double
        /// Such as `FMA peak`.
        package let name: String
    }

    /// The peak that bounds products with weights of a format, at the precision of a backend.
    package func peak(_ format: PlannedFormat, _ precision: ActivationPrecision) -> Peak {
        switch format {
        case .exl2 where precision == .int8 && int8Peak > 0,
            .gptq where precision == .int8 && int8Peak > 0,
            .mxfp4 where precision == .int8 && int8Peak > 0:
            Peak(value: int8Peak, name: "int8 peak")
        // Where there are no dot products of bytes, those of pairs multiply 8-bit activations too.
        case .exl2 where (precision == .int16 || precision == .int8) && int16Peak > 0,
            .gptq where (precision == .int16 || precision == .int8) && int16Peak > 0,
            .mxfp4 where (precision == .int16 || precision == .int8) && int16Peak > 0:
            Peak(value: int16Peak, name: "int16 peak")
        case .dense(.f32), .dense(.f16): Peak(value: fmaPeak, name: "FMA peak")
        default:
            bf16Peak > 0
                ? Peak(value: bf16Peak, name: "bf16 peak") : Peak(value: fmaPeak, name: "FMA peak")
        }
    }

    /// Holds figures that were measured before.
    package init(
        readBandwidth: Double, fmaPeak: Double, bf16Peak: Double, int16Peak: Double,
        int8Peak: Double
    ) {
        self.readBandwidth = readBandwidth
        self.fmaPeak = fmaPeak
        self.bf16Peak = bf16Peak
        self.int16Peak = int16Peak
        self.int8Peak = int8Peak
    }

    /// Measures; takes a second or two.
    /// - Throws: `TensorError` when 256 MiB cannot be had.
    package init(_ backend: CPUBackend) throws(TensorError) { try refresh(backend) }

    /// Measures again and keeps the higher figures: on a shared machine one measurement may be too low.
    package mutating func refresh(_ backend: CPUBackend) throws(TensorError) {
        let context = backend.context
        var sink: Float = 0
        let memory = try Buffer(byteCount: 256 << 20, ledger: nil, purpose: .workspace)
        // Touched first, so that every page is really there.
        memory.bytes.initializeMemory(as: UInt8.self, repeating: 1)
        let read = Stopwatch.best(12) {
            eft_limit_read(context, memory.base, memory.byteCount, &sink)
        }
        readBandwidth = max(readBandwidth, Double(memory.byteCount) / read)
        let rounds = 2_000_000
        var operations = 0.0
        let fma = Stopwatch.best(20) { operations = eft_limit_fma(context, rounds, &sink) }
        fmaPeak = max(fmaPeak, operations / fma)
        let bf16 = Stopwatch.best(20) { operations = eft_limit_bf16(context, rounds, &sink) }
        bf16Peak = max(bf16Peak, operations / bf16)
        let int16 = Stopwatch.best(20) { operations = eft_limit_int16(context, rounds, &sink) }
        int16Peak = max(int16Peak, operations / int16)
        let int8 = Stopwatch.best(20) { operations = eft_limit_int8(context, rounds, &sink) }
        int8Peak = max(int8Peak, operations / int8)
        precondition(!sink.isNaN)
    }
}
