// SPDX-License-Identifier: Apache-2.0
// A 16-bit base with an adapter folded in as it is read; no merged copy is written.
import EftFormats
import EftModels
import EftTensor
import Synchronization

/// Reads a base model's tensors, the adapted ones as `AdapterMerger` would have written them, rounded to the type of W.
package final class MergedCheckpoint: CheckpointView {
    package let base: any CheckpointReader
    private let adapter: AdapterWeights
    private let backend: CPUBackend
    /// The adapted module of each weight, by the tensor's name.
    private let modules: [String: String]
    /// A and B of the module that was read last.
    private let last = Mutex<Loaded?>(nil)

    private struct Loaded {
        let module: String
        let weights: AdapterWeights.Loaded
    }

    /// Numbers of a run of rows at most, unless one row has more.
    private static let runCount = 1 << 18

    /// Opens an adapter and checks it against the base.
    /// - Throws: `ConversionError` (`mismatch`; `unsupported` for a base that is stored quantized), `ModelError`,
    ///   `FormatError`, `ConfigError`.
    package init(base folder: ModelFolder, adapter path: String, backend: CPUBackend) throws {
        guard let checkpoint = folder.checkpoint else {
            throw ConversionError(.usage, "the base folder has no weights", path: folder.path)
        }
        base = checkpoint
        adapter = try AdapterWeights(folder: path, base: folder.description)
        self.backend = backend
        var modules: [String: String] = [:]
        for name in adapter.modules.keys {
            let weight = name + ".weight"
            guard let info = checkpoint.find(weight), info.dtype.isFloatingPoint else {
                throw ConversionError(
                    .unsupported,
                    "an adapter is folded into plain numbers only; give the "
                        + "16-bit base",
                    path: folder.path, tensor: weight)
            }
            modules[weight] = name
        }
        self.modules = modules
    }

    /// What reading takes: A and B of the largest module, and a run of rows as stored, in f32, and what is added.
    var need: FoldingNeed {
        let modules = adapter.modules.values
        let run = modules.map { MergedCheckpoint.runRows($0) * $0.inputs }.max() ?? 0
        let scratch = modules.map {
            backend.gemmScratchBytes(
                m: MergedCheckpoint.runRows($0), n: $0.inputs, k: $0.rank)
        }.max()
        return FoldingNeed(
            heldBytes: adapter.largestBytes, readingBytes: 3 * run * 4, scratchBytes: scratch ?? 0,
            tensors: Set(self.modules.keys))
    }

    private static func runRows(_ module: AdapterWeights.Module) -> Int {
        min(max(runCount / module.inputs, 1), module.outputs)
    }

    // MARK: CheckpointReader

    package func find(_ name: String) -> TensorInfo? { base.find(name) }

    package func releasePages(of name: String) { base.releasePages(of: name) }

    package func place(of name: String) -> (path: String, bytes: Range<Int>)? {
        modules[name] == nil ? base.place(of: name) : nil
    }

    package func read(
        _ name: String, bytes range: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        guard let module = modules[name] else {
            return try base.read(name, bytes: range, into: target)
        }
        let info = try base.tensor(name)
        do {
            try read(info, module, range, target)
        } catch let error as FormatError {
            throw error
        } catch {
            throw FormatError(
                .unsupported, "the adapter cannot be folded in: \(error)", path: path, tensor: name)
        }
    }

    package func withBytes<R>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        guard modules[name] != nil else { return try base.withBytes(of: name, body) }
        let info = try base.tensor(name)
        let buffer = try Buffer(
            byteCount: info.byteCount, ledger: backend.ledger, purpose: .window)
        let bytes = UnsafeMutableRawBufferPointer(start: buffer.base, count: info.byteCount)
        try read(name, bytes: 0..<info.byteCount, into: bytes)
        return try body(UnsafeRawBufferPointer(bytes))
    }

    // MARK: Sums

    /// Copies a part of an adapted weight, run by run of the rows that it touches.
    private func read(
        _ info: TensorInfo, _ name: String, _ range: Range<Int>,
        _ target: UnsafeMutableRawBufferPointer
    ) throws {
        guard let module = adapter.modules[name], !range.isEmpty else { return }
        let rowBytes = module.inputs * info.dtype.byteWidth
        let rows = range.lowerBound / rowBytes..<(range.upperBound + rowBytes - 1) / rowBytes
        let step = MergedCheckpoint.runRows(module)
        func matrix() throws(TensorError) -> Matrix {
            try Matrix(
                rows: min(step, rows.count), columns: module.inputs, ledger: backend.ledger,
                purpose: .window)
        }
        let (weight, delta, stored) = (try matrix(), try matrix(), try matrix())
        try last.withLock { last in
            let lora = try load(name, module, &last)
            for first in stride(from: rows.lowerBound, to: rows.upperBound, by: step) {
                let run = first..<min(first + step, rows.upperBound)
                let (w, d) = (weight.rows(0..<run.count), delta.rows(0..<run.count))
                try base.readFloats(
                    info.name,
                    elements: run.lowerBound * module.inputs..<run.upperBound * module.inputs,
                    into: UnsafeMutableBufferPointer(start: w.pointer, count: w.count))
                try lora.merge(run, into: w, delta: d, backend)
                backend.convert(
                    count: w.count, from: w.pointer, .f32, to: stored.pointer, info.dtype)
                copy(stored, run, rowBytes: rowBytes, range, to: target)
            }
        }
    }

    private func load(
        _ name: String, _ module: AdapterWeights.Module, _ last: inout Loaded?
    ) throws -> AdapterWeights.Loaded {
        if let last, last.module == name { return last.weights }
        last = nil
        let loaded = try adapter.load(module, backend: backend)
        last = Loaded(module: name, weights: loaded)
        return loaded
    }

    /// Copies what a run of rows and the wanted bytes have in common.
    private func copy(
        _ stored: Matrix, _ run: Range<Int>, rowBytes: Int, _ range: Range<Int>,
        to target: UnsafeMutableRawBufferPointer
    ) {
        let have = run.lowerBound * rowBytes..<run.upperBound * rowBytes
        let common = have.clamped(to: range)
        guard let base = target.baseAddress else { return }
        (base + (common.lowerBound - range.lowerBound)).copyMemory(
            from: UnsafeRawPointer(stored.pointer) + (common.lowerBound - have.lowerBound),
            byteCount: common.count)
    }
}

/// What folding an adapter into a model takes while that is read.
struct FoldingNeed: Sendable {
    /// Bytes of the module that was read last, which stays until another is read.
    var heldBytes = 0
    /// Bytes that reading takes besides.
    var readingBytes = 0
    /// Scratch memory of its products.
    var scratchBytes = 0
    /// The adapted tensors.
    var tensors: Set<String> = []
}
