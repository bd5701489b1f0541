// SPDX-License-Identifier: Apache-2.0
// An adapter into its base, and weights from one form to another.
import EftConversion
import EftFormats
import EftModels
import EftPlanning
import EftTensor

/// Work on model folders: a tensor at a time, within a memory limit, resumable where it was stopped.
public enum ModelFiles {
    /// The type of a model's real numbers.
    public enum ElementType: String, Sendable, Hashable {
        case f32 = "F32"
        case f16 = "F16"
        case bf16 = "BF16"
    }

    /// Merges a PEFT adapter into its base: one 16-bit folder.
    /// - Parameters:
    ///   - base: the base model's folder.
    ///   - adapter: the adapter's folder.
    ///   - output: the folder to write.
    ///   - type: the type of all real numbers; as stored when nil.
    ///   - quantizesBaseAsTrained: whether the base's layers take the values that training in NF4 saw. Leave it off for a
    ///     model that is quantized afterwards.
    ///   - memoryLimit: most bytes to hold; the machine's memory less a margin when nil.
    ///   - onProgress: receives bytes that are written.
    /// - Returns: the names of the weight files that were written.
    /// - Throws: `EftError`. A canceled merge goes on when it is started again.
    @discardableResult
    public static func merge(
        base: String, adapter: String, into output: String, type: ElementType? = nil,
        quantizesBaseAsTrained: Bool = false, memoryLimit: Int? = nil,
        onProgress: ProgressHandler? = nil
    ) async throws(EftError) -> [String] {
        try await Background.run { flag in
            let device = try FileWork(memoryLimit)
            let merger = try AdapterMerger(
                base: base, adapter: adapter, output: output,
                options: AdapterMerger.Options(
                    dtype: type.flatMap { DType(rawValue: $0.rawValue) },
                    roundTripsNF4: quantizesBaseAsTrained),
                backend: device.backend)
            try device.requireFit("merge", merger.memory)
            return try merger.run(ConversionMonitor(flag, onProgress))
        }
    }

    /// Converts `.bin` or safetensors to a folder of safetensors.
    /// - Parameters:
    ///   - input: a model's folder, or a file of weights.
    ///   - output: the folder to write.
    ///   - type: the type of all real numbers; as stored when nil.
    ///   - memoryLimit: most bytes to hold; the machine's memory less a margin when nil.
    ///   - onProgress: receives bytes that are written.
    /// - Returns: the names of the weight files that were written.
    /// - Throws: `EftError`. A canceled conversion goes on when it is started again.
    @discardableResult
    public static func convert(
        _ input: String, into output: String, type: ElementType? = nil, memoryLimit: Int? = nil,
        onProgress: ProgressHandler? = nil
    ) async throws(EftError) -> [String] {
        try await Background.run { flag in
            let device = try FileWork(memoryLimit)
            let converter = try CheckpointConverter(
                input: input, output: output,
                options: CheckpointConverter.Options(
                    dtype: type.flatMap { DType(rawValue: $0.rawValue) }),
                backend: device.backend)
            try device.requireFit("convert", CheckpointConverter.memory)
            return try converter.run(ConversionMonitor(flag, onProgress))
        }
    }

    /// Converts a 16-bit model to bitsandbytes' NF4.
    /// - Returns: the names of the weight files that were written.
    /// - Throws: `EftError`. A canceled conversion goes on when it is started again.
    @discardableResult
    public static func convertToNF4(
        _ input: String, into output: String, memoryLimit: Int? = nil,
        onProgress: ProgressHandler? = nil
    ) async throws(EftError) -> [String] {
        try await Background.run { flag in
            let device = try FileWork(memoryLimit)
            let folder = try ModelFolder.open(input)
            let converter = try NF4Converter(folder, output: output, backend: device.backend)
            try device.requireFit("convert to NF4", NF4Converter.memory(folder.description))
            return try converter.run(ConversionMonitor(flag, onProgress))
        }
    }
}

/// A device for work on files, and the limit that it keeps.
struct FileWork {
    let backend: CPUBackend
    private let limit: Int

    /// - Throws: `EftError` (`usage`) for a limit that makes no sense.
    init(_ memoryLimit: Int?) throws {
        limit = memoryLimit ?? ProcessMemory.defaultLimit
        guard limit > 0 else { throw EftError(.usage, "memoryLimit must be above 0") }
        let room = limit == .max ? limit : max(0, limit - ProcessMemory.resident)
        backend = try CPUBackend(ledger: MemoryLedger(limit: room))
    }

    /// - Throws: `EftError` (`doesNotFit`).
    func requireFit(
        _ name: String, _ memory: MemoryTable, work: ProcessMemory.Work = .copying
    ) throws(EftError) {
        var stage = StagePlan(name: name, memory: memory)
        stage.devices[0][.program] += ProcessMemory.program(for: work, threads: backend.threads)
        try MemoryPlan(stage, limits: [limit]).requireFit()
    }
}
