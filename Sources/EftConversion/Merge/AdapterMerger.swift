// SPDX-License-Identifier: Apache-2.0
// A base model and a PEFT adapter, or a quantized base alone, to one 16-bit folder.
import EftConfig
import EftFormats
import EftModels
import EftQuant
import EftTensor

/// Merges a LoRA adapter into its base: W' = W + scale * B A in f32, with DoRA each row brought to its length, cast to the type
/// of W. Without an adapter the numbers of the base come out, whatever form it is stored in.
///
/// One module at a time, in runs of rows; everything is checked before the first byte is written. A base that is
/// stored quantized comes out in the type from which it was quantized. What was written before a run was stopped is kept
/// for the next one (`UnfinishedFolder`).
package final class AdapterMerger {
    /// What to write.
    package struct Options: Sendable, Hashable {
        /// The type of all real numbers; nil for each tensor's own.
        package var dtype: DType?
        /// Whether training held the linear layers in NF4, so that W is what NF4 makes of it. Embedding and head are never
        /// held so; a base that is stored quantized needs no such care.
        package var roundTripsNF4: Bool
        /// Whether that NF4 quantizes its scales a second time.
        package var doubleQuantization = true
        /// Bytes of a shard at most.
        package var maxShardBytes: Int

        /// Makes options.
        package init(
            dtype: DType? = nil, roundTripsNF4: Bool = false,
            maxShardBytes: Int = SafetensorsWriter.defaultShardBytes
        ) {
            self.dtype = dtype
            self.roundTripsNF4 = roundTripsNF4
            self.maxShardBytes = maxShardBytes
        }
    }

    private let folder: ModelFolder
    private let adapterPath: String?
    private let output: String
    private let options: Options
    private let backend: CPUBackend
    private let base: BaseWeights
    private let adapter: AdapterWeights?
    /// What will be written.
    package let tensors: [TensorInfo]
    /// Bytes that will be written.
    package let byteCount: Int

    /// Numbers in a run of rows at most, unless one row has more.
    private static let runCount = 1 << 20

    /// Opens and checks base and adapter; writes nothing yet.
    /// - Throws: `ConversionError`, `ModelError`, `FormatError`, `ConfigError`.
    package init(
        base path: String, adapter adapterPath: String?, output: String, options: Options,
        backend: CPUBackend
    ) throws {
        try OutputFolder.requireApart(output, from: [path, adapterPath].compactMap(\.self))
        try OutputFolder.requireNoOtherWeights(output, stem: "model")
        folder = try ModelFolder.open(path, scores: true)
            .adapted(by: [adapterPath].compactMap(\.self), scores: true)
        base = try BaseWeights(folder)
        let description = folder.description
        adapter = try adapterPath.map { try AdapterWeights(folder: $0, base: description) }
        self.adapterPath = adapterPath
        try AdapterMerger.requirePlaces(adapter, base, adapterPath)
        self.output = output
        self.options = options
        self.backend = backend
        tensors = try base.items.map { item in
            switch item {
            case .tensor(let info):
                let type = TensorCaster.outputType(of: info, wanted: options.dtype)
                return try TensorInfo(name: info.name, dtype: type, shape: info.shape)
            case .module(let module):
                return try TensorInfo(
                    name: module.name + ".weight", dtype: options.dtype ?? module.dtype,
                    shape: module.shape)
            }
        }
        byteCount = try tensors.totalByteCount()
    }

    /// - Throws: `ConversionError` (`unsupported`) for an adapter on weights that do not come out as numbers.
    private static func requirePlaces(
        _ adapter: AdapterWeights?, _ base: BaseWeights, _ path: String?
    ) throws(ConversionError) {
        var names = Set(base.stacks.values.joined().map(\.module.name))
        for case .module(let module) in base.items { names.insert(module.name) }
        guard let stranger = adapter?.modules.keys.filter({ !names.contains($0) }).min() else {
            return
        }
        throw ConversionError(
            .unsupported,
            "the base holds this in blocks of 4 bits (MXFP4), which an adapter cannot be merged into; run it unmerged",
            path: path, tensor: stranger)
    }

    // MARK: Memory

    /// Most bytes that `run` takes, by purpose.
    package var memory: MemoryTable {
        AdapterMerger.memory(
            folder.description, adapterBytes: adapter?.largestBytes ?? 0,
            roundTripsNF4: options.roundTripsNF4, backend: backend)
    }

    /// Most bytes that a merge takes, by purpose.
    /// - Parameter adapterBytes: A and B of the largest adapted module in f32.
    package static func memory(
        _ model: DecoderDescription, adapterBytes: Int, roundTripsNF4: Bool, backend: CPUBackend
    ) -> MemoryTable {
        var (scratch, run, nf4, rowScratch) = (0, 0, 0, 0)
        let linears = model.distinctLinears
        let extents =
            linears.map { ($0.inputs, $0.outputs) } + [(model.shape.hidden, model.vocabulary)]
        for (inputs, outputs) in extents {
            let rows = runRows(inputs: inputs, outputs: outputs)
            run = max(run, rows * inputs)
            let rank = max(1, adapterBytes / 4 / (inputs + outputs))
            scratch = max(scratch, backend.gemmScratchBytes(m: rows, n: inputs, k: rank))
        }
        if roundTripsNF4 {
            for linear in linears {
                let (inputs, outputs) = (linear.inputs, linear.outputs)
                nf4 = max(nf4, NF4RoundTrip.byteCount(inputs: inputs, outputs: outputs))
                // A run of rows as stored, and once more in f32.
                let stored = DenseScheme.scratchBytes(
                    stored: .bf16, as: .asStored, inputs: inputs, outputs: outputs)
                rowScratch = max(rowScratch, stored * 3)
            }
        }
        let runs = 3 * run * 4
        // A matrix that is written by inputs is put together before.
        let turned =
            model.storesByInputs || model.stack?.isTransposed == true
            ? linears.reduce(0) { most, linear in
                let beside = model.isStacked(linear) ? model.stack?.part(linear).count ?? 1 : 1
                return max(most, linear.inputs * linear.outputs * 4 * beside)
            } : 0
        // Rows are quantized before adapter and runs are there.
        let excess = max(0, rowScratch - runs - adapterBytes)
        return MemoryTable([
            .adapters: adapterBytes, .workspace: scratch + nf4 + excess,
            .window: TensorCaster.byteCount + runs + turned,
        ])
    }

    private static func runRows(inputs: Int, outputs: Int) -> Int {
        min(max(runCount / inputs, 1), outputs)
    }

    // MARK: Run

    /// Writes the folder, or what a run that was stopped has left to write.
    /// - Returns: the weight files.
    /// - Throws: `ConversionError`, `FormatError`, `TensorError`, and what the monitor throws.
    @discardableResult
    package func run(_ monitor: ConversionMonitor = ConversionMonitor()) throws -> [String] {
        let unfinished = try UnfinishedFolder(
            output: output, stem: "model", identity: identity())
        return try unfinished.run(
            tensors, maxShardBytes: options.maxShardBytes, monitor,
            weights: { try writeWeights(to: $0, monitor) }, others: writeOtherFiles)
    }

    private func identity() throws -> JobIdentity {
        var identity = JobIdentity(
            adapterPath == nil ? "dequantize" : "merge", dtype: options.dtype,
            maxShardBytes: options.maxShardBytes,
            instructionSet: backend.instructionSet)
        identity.add("the round trip through NF4", String(options.roundTripsNF4))
        if !options.doubleQuantization { identity.add("double quantization", "false") }
        try identity.add(input: folder.path, as: "base")
        if let adapterPath { try identity.add(input: adapterPath, as: "adapter") }
        return identity
    }

    private func writeWeights(
        to writer: SafetensorsWriter, _ monitor: ConversionMonitor
    ) throws {
        let caster = try TensorCaster(base.checkpoint, backend: backend)
        var done = writer.keptBytes
        let total = byteCount
        for (item, target) in zip(base.items, tensors) where !writer.isKept(target.name) {
            let advance = { (bytes: Int) in
                done += bytes
                try monitor.step(target.name, done: done, total: total)
            }
            switch item {
            case .tensor(let info):
                guard let parts = base.stacks[info.name],
                    parts.contains(where: { adapter?.modules[$0.module.name] != nil })
                else {
                    try caster.copy(info, as: target.dtype, to: writer, advance: advance)
                    continue
                }
                var turned: Turned?
                for part in parts {
                    if turned == nil, part.module.isTurned {
                        turned = try Turned(
                            part.module, columns: part.columns, target.dtype, backend)
                    }
                    turned?.places = part.places
                    try write(part.module, target, to: writer, turned: turned, advance: advance)
                    if let whole = turned, part.isLast {
                        try writer.write(target.name, UnsafeRawBufferPointer(whole.bytes.bytes))
                        turned = nil
                    }
                }
            case .module(let module):
                let turned =
                    module.isTurned
                    ? try Turned(module, columns: module.outputs, target.dtype, backend) : nil
                try write(module, target, to: writer, turned: turned, advance: advance)
                if let turned {
                    try writer.write(target.name, UnsafeRawBufferPointer(turned.bytes.bytes))
                }
            }
        }
    }

    /// What is written as [inputs, outputs], put together before.
    private struct Turned {
        let bytes: Buffer
        /// Outputs of all matrices side by side.
        let columns: Int
        /// Where it has each output of a matrix.
        var places: [Int]

        init(
            _ module: BaseWeights.Module, columns: Int, _ dtype: DType, _ backend: CPUBackend
        ) throws(TensorError) {
            bytes = try Buffer(
                byteCount: module.inputs * columns * dtype.byteWidth, ledger: backend.ledger,
                purpose: .window)
            self.columns = columns
            places = Array(0..<columns)
        }

        /// Puts rows of a matrix where they stand.
        func put(_ rows: UnsafeRawBufferPointer, _ range: Range<Int>, inputs: Int, width: Int) {
            guard var source = rows.baseAddress else { return }
            for row in places[range] {
                for input in 0..<inputs {
                    let place = (input * columns + row) * width
                    (bytes.base + place).copyMemory(from: source, byteCount: width)
                    source += width
                }
            }
        }
    }

    /// - Parameter turned: where the matrix is put in place of the file; nil for one that is written in order.
    private func write(
        _ module: BaseWeights.Module, _ target: TensorInfo, to writer: SafetensorsWriter,
        turned: Turned? = nil, advance: (Int) throws -> Void
    ) throws {
        let source = try base.source(module)
        let roundTrip =
            options.roundTripsNF4 && module.isDecoderLinear && module.isDense
            ? try NF4RoundTrip(
                module, of: base.apart, doubleQuantization: options.doubleQuantization,
                backend: backend) : nil
        let lora = try loaded(module.name)
        let rows = AdapterMerger.runRows(inputs: module.inputs, outputs: module.outputs)
        func matrix() throws -> Matrix {
            try Matrix(
                rows: rows, columns: module.inputs, ledger: backend.ledger, purpose: .window)
        }
        let (weight, delta, cast) = (try matrix(), try matrix(), try matrix())
        for first in stride(from: 0, to: module.outputs, by: rows) {
            let range = first..<min(first + rows, module.outputs)
            let (w, d) = (weight.rows(0..<range.count), delta.rows(0..<range.count))
            try load(range, of: module, source, roundTrip, into: w)
            try lora?.merge(range, into: w, delta: d, backend)
            let bytes = try narrow(w, to: target.dtype, cast, target.name)
            if let turned {
                turned.put(
                    bytes, range, inputs: module.inputs, width: target.dtype.byteWidth)
            } else {
                try writer.write(target.name, bytes)
            }
            try advance(bytes.count)
        }
    }

    /// What the adapter adds to a module; nil where it adds nothing.
    private func loaded(_ module: String) throws -> AdapterWeights.Loaded? {
        guard let adapter, let found = adapter.modules[module] else { return nil }
        return try adapter.load(found, backend: backend)
    }

    private func load(
        _ rows: Range<Int>, of module: BaseWeights.Module, _ source: LinearSource,
        _ roundTrip: NF4RoundTrip?, into matrix: Matrix
    ) throws {
        if let roundTrip {
            roundTrip.read(rows, into: matrix.pointer)
        } else {
            try source.dequantize(
                outputs: rows,
                into: UnsafeMutableBufferPointer(start: matrix.pointer, count: matrix.count))
        }
        guard backend.allFinite(count: matrix.count, matrix.pointer, .f32) else {
            throw ConversionError(
                .numbers, Numbers.stored, path: base.checkpoint.path,
                tensor: module.name + ".weight")
        }
    }

    private func narrow(
        _ matrix: Matrix, to dtype: DType, _ target: Matrix, _ name: String
    ) throws -> UnsafeRawBufferPointer {
        backend.convert(count: matrix.count, from: matrix.pointer, .f32, to: target.pointer, dtype)
        try Numbers.requireFinite(
            target.pointer, matrix.count, stored: (UnsafeRawPointer(matrix.pointer), .f32), dtype,
            name, backend, path: output)
        return UnsafeRawBufferPointer(
            start: target.pointer, count: matrix.count * dtype.byteWidth)
    }

    private func writeOtherFiles(to output: String) throws {
        try OutputFolder.copyOtherFiles(from: folder.path, to: output)
        if let adapterPath { try OutputFolder.copyTokenizer(from: adapterPath, to: output) }
        var config = try ConfigEditor(folder.config)
        // Experts in blocks of 4 bits come out as they are.
        let hasBlocks = base.checkpoint.tensors.contains { $0.name.hasSuffix("_blocks") }
        if !hasBlocks { config.set("quantization_config", nil) }
        if let dtype = options.dtype { config.setDType(dtype) }
        // An EXL2 base brings a head of its own although its config says that it is tied.
        if !folder.description.tiedEmbeddings, folder.description.scores == nil,
            config.object["tie_word_embeddings"] != nil
        {
            config.set("tie_word_embeddings", ConfigNode(.bool(false)))
        }
        try config.write(to: output)
    }
}
