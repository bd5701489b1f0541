// SPDX-License-Identifier: Apache-2.0
// A model folder to one GGUF file that llama.cpp loads.
import CEftKernels
import EftFormats
import EftGGUF
import EftModels
import EftNN
import EftQuant
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// Writes a model as a GGUF file, a run of rows at a time: settings, tokenizer and weights.
///
/// The head is read back before any weight is written. Where what it says is not the model that it was made of, llama.cpp's
/// architecture has no words for it, and nothing is written.
package final class GGUFConverter {
    /// A tensor of the file and what it is made of.
    private struct Item {
        let tensor: GGUFHeaderWriter.Tensor
        let source: Source
    }

    private enum Source {
        /// Weights, one behind the other (experts), with rows of heads in another order where a width is given.
        case weights([(name: String, inputs: Int, outputs: Int)], headDim: Int?)
        /// A vector, to which a number is added, in another order where a width is given.
        case vector(String, count: Int, plus: Float, headDim: Int?)
        case numbers([Float])
    }

    private let folder: ModelFolder
    private let checkpoint: any CheckpointReader
    private let output: String
    private let mix: GGUFMix
    private let backend: CPUBackend
    private var items: [Item] = []
    private let head: [UInt8]

    /// Numbers of a run of rows at most, unless one row or head has more.
    private static let runCount = 1 << 20

    /// Tensors that will be written.
    package var tensorCount: Int { items.count }
    /// Bytes that will be written.
    package var byteCount: Int {
        items.reduce(head.count) { GGUFHeaderWriter.aligned($0 + $1.tensor.byteCount) }
    }

    /// Opens and checks the input; writes nothing but a head that is taken away again.
    /// - Throws: `ConversionError` (`unsupported`) for models that are not written, `TokenizerError`, `FormatError`.
    package init(_ folder: ModelFolder, output: String, mix: GGUFMix, backend: CPUBackend) throws {
        let type = try folder.config.string("model_type", default: "")
        guard let names = GGUFNames(modelType: type), folder.description.scores == nil else {
            throw ConversionError(
                .unsupported,
                "GGUF files of the model type '\(type)' are not written; written are "
                    + GGUFNames.modelTypes.joined(separator: ", "), path: folder.path)
        }
        guard let checkpoint = folder.checkpoint else {
            throw ConversionError(.usage, "the folder has no weights", path: folder.path)
        }
        self.folder = folder
        self.checkpoint = checkpoint
        self.output = output
        self.mix = mix
        self.backend = backend
        var head = try GGUFSettings.write(folder, names, mix: mix)
        try GGUFTokenizerWriter.add(
            folder.tokenizerFolder, vocabulary: folder.description.vocabulary, to: &head)
        let items = try GGUFConverter.items(folder, names, mix)
        self.items = items
        self.head = head.bytes(items.map(\.tensor))
        try checkHead()
    }

    // MARK: Tensors

    private static func items(
        _ folder: ModelFolder, _ names: GGUFNames, _ mix: GGUFMix
    ) throws -> [Item] {
        let model = folder.description
        let (hidden, vocabulary) = (model.shape.hidden, model.vocabulary)
        var items: [Item] = []
        if let factors = GGUFSettings.frequencyFactors(model.rotary) {
            items.append(
                Item(
                    tensor: .init(name: "rope_freqs.weight", dims: [factors.count], type: .f32),
                    source: .numbers(factors)))
        }
        func matrix(_ name: String, _ module: String, isHead: Bool) -> Item {
            Item(
                tensor: .init(
                    name: name, dims: [vocabulary, hidden],
                    type: mix.type(isHead: isHead, columns: hidden)),
                source: .weights([(module, hidden, vocabulary)], headDim: nil))
        }
        items.append(
            matrix("token_embd.weight", model.embeddingName, isHead: model.tiedEmbeddings))
        if !model.tiedEmbeddings {
            items.append(matrix("output.weight", model.headName, isHead: true))
        }
        let plus: Float = names.hasShiftedNorms ? 1 : 0
        items.append(
            vector("output_norm.weight", model.finalNorm.name + ".weight", hidden, plus, nil))
        for layer in 0..<model.layers {
            items += try self.layer(layer, folder, names, mix, plus)
        }
        return items
    }

    private static func vector(
        _ name: String, _ stored: String, _ count: Int, _ plus: Float, _ headDim: Int?
    ) -> Item {
        Item(
            tensor: .init(name: name, dims: [count], type: .f32),
            source: .vector(stored, count: count, plus: plus, headDim: headDim))
    }

    private static func layer(
        _ layer: Int, _ folder: ModelFolder, _ names: GGUFNames, _ mix: GGUFMix, _ plus: Float
    ) throws -> [Item] {
        let model = folder.description
        let path = model.layerName(layer) + "."
        var items: [Item] = []
        for norm in model.norms(layer: layer) {
            guard norm.name.hasPrefix(path), !norm.hasBias,
                let stem = names.norm(String(norm.name.dropFirst(path.count)))
            else {
                throw ConversionError(
                    .unsupported, "llama.cpp's \(names.architecture) has no place for it",
                    path: folder.path, tensor: norm.name)
            }
            items.append(
                vector("blk.\(layer).\(stem).weight", norm.name + ".weight", norm.count, plus, nil))
        }
        let linears = model.linears(layer: layer)
        for linear in linears where linear.expert ?? 0 == 0 {
            guard let stem = stem(of: linear) else {
                throw ConversionError(
                    .unsupported, "llama.cpp's \(names.architecture) has no place for it",
                    path: folder.path, tensor: linear.name)
            }
            let turns = names.isInterleaved && (linear.role == .query || linear.role == .key)
            let width = turns ? model.shape.headDim : nil
            let experts = linears.filter { $0.role == linear.role }
            let extents = [linear.outputs, linear.inputs]
            let type =
                linear.role.isRouter
                ? GGUFTensorType.f32
                : mix.type(linear.role, layer: layer, of: model.layers, columns: linear.inputs)
            items.append(
                Item(
                    tensor: .init(
                        name: "blk.\(layer).\(stem).weight",
                        dims: linear.expert == nil ? extents : [experts.count] + extents, type: type
                    ),
                    source: .weights(
                        experts.map { ($0.name, $0.inputs, $0.outputs) }, headDim: width)))
            if linear.hasBias, linear.expert == nil {
                items.append(
                    vector(
                        "blk.\(layer).\(stem).bias", linear.name + ".bias", linear.outputs, 0,
                        width))
            }
        }
        return items
    }

    /// llama.cpp's name of a linear layer.
    private static func stem(of linear: DecoderDescription.LinearShape) -> String? {
        let isExpert = linear.expert != nil
        switch linear.role {
        case .query: return "attn_q"
        case .key: return "attn_k"
        case .value: return "attn_v"
        case .output: return "attn_output"
        case .router: return "ffn_gate_inp"
        case .gate: return isExpert ? "ffn_gate_exps" : "ffn_gate"
        case .up: return isExpert ? "ffn_up_exps" : "ffn_up"
        case .down: return isExpert ? "ffn_down_exps" : "ffn_down"
        case .sharedRouter: return "ffn_gate_inp_shexp"
        case .sharedGate: return "ffn_gate_shexp"
        case .sharedUp: return "ffn_up_shexp"
        case .sharedDown: return "ffn_down_shexp"
        default: return nil
        }
    }

    // MARK: The head

    /// Reads the head back and compares the model that it describes with the one that is written.
    private func checkHead() throws {
        let path = output + ".head.gguf"
        defer { unlink(path) }
        var bytes = head
        if case .numbers(let factors)? = items.first?.source {
            factors.withUnsafeBytes { bytes.append(contentsOf: $0) }
        }
        try AtomicFile.write(path, bytes)
        guard truncate(path, off_t(byteCount)) == 0 else {
            throw FormatError.system(.io, "cannot be made as long", path: path, errno: errno)
        }
        let written = try ModelFolder.open(path).description
        let given = folder.description
        guard GGUFConverter.essence(written) == GGUFConverter.essence(given) else {
            throw ConversionError(
                .unsupported,
                "llama.cpp's form of this architecture cannot say all that config.json says; the file would be another model",
                path: folder.path)
        }
    }

    /// What decides about results; names and hints do not.
    private static func essence(_ description: DecoderDescription) -> DecoderDescription {
        var essence = description
        essence.architecture = ""
        essence.names = DecoderDescription.ModuleNames()
        essence.mlpNames = DecoderDescription.MLPNames()
        essence.roots = []
        essence.bareRoot = nil
        essence.stack = nil
        essence.initializerRange = 0
        return essence
    }

    // MARK: Run

    /// Most bytes that `run` takes, by purpose.
    package var memory: MemoryTable {
        var (values, blocks) = (0, 0)
        for item in items {
            guard case .weights(let modules, let headDim) = item.source else { continue }
            for module in modules {
                let rows = GGUFConverter.runRows(module.inputs, module.outputs, headDim)
                values = max(values, rows * module.inputs * 4)
                blocks = max(
                    blocks,
                    rows * module.inputs / item.tensor.type.blockSize * item.tensor.type.blockBytes)
            }
        }
        return MemoryTable([.window: values + blocks])
    }

    private static func runRows(_ inputs: Int, _ outputs: Int, _ headDim: Int?) -> Int {
        let unit = headDim ?? 1
        return min(max(runCount / max(inputs, 1) / unit * unit, unit), outputs)
    }

    /// Writes the file.
    /// - Returns: the file.
    /// - Throws: `ConversionError`, `FormatError`, `TensorError`, and what the monitor throws.
    @discardableResult
    package func run(_ monitor: ConversionMonitor = ConversionMonitor()) throws -> [String] {
        let file = try OutputFile(path: output)
        try file.write(head)
        let total = byteCount
        for item in items {
            switch item.source {
            case .numbers(let numbers): try write(numbers, to: file)
            case .vector(let name, let count, let plus, let headDim):
                try write(vector(name, count, plus, headDim), to: file)
            case .weights(let modules, let headDim):
                for module in modules {
                    try write(module, item.tensor, headDim, to: file) {
                        try monitor.step(item.tensor.name, done: file.byteCount, total: total)
                    }
                }
            }
            let padding = GGUFHeaderWriter.aligned(file.byteCount) - file.byteCount
            try file.write([UInt8](repeating: 0, count: padding))
        }
        try file.publish()
        return [output]
    }

    private func write(_ numbers: [Float], to file: OutputFile) throws {
        try numbers.withUnsafeBytes { try file.write($0) }
    }

    private func vector(
        _ name: String, _ count: Int, _ plus: Float, _ headDim: Int?
    ) throws -> [Float] {
        let stored = try checkpoint.floats(of: name)
        guard stored.count == count, stored.allSatisfy(\.isFinite) else {
            throw ConversionError(
                .numbers, "does not hold \(count) finite numbers", path: checkpoint.path,
                tensor: name)
        }
        return stored.indices.map { stored[GGUFConverter.source(of: $0, headDim)] + plus }
    }

    /// The row that stands at a place: of a head, numbers of both halves in turn.
    private static func source(of place: Int, _ headDim: Int?) -> Int {
        guard let headDim else { return place }
        let (head, index) = (place / headDim, place % headDim)
        return head * headDim + index % 2 * (headDim / 2) + index / 2
    }

    private func write(
        _ module: (name: String, inputs: Int, outputs: Int), _ tensor: GGUFHeaderWriter.Tensor,
        _ headDim: Int?, to file: OutputFile, advance: () throws -> Void
    ) throws {
        let source = try LinearSource(
            module: module.name, checkpoint: checkpoint, inputs: module.inputs,
            outputs: module.outputs)
        let (step, inputs) = (
            GGUFConverter.runRows(module.inputs, module.outputs, headDim), module.inputs
        )
        let values = try Matrix(
            rows: step, columns: inputs, ledger: backend.ledger, purpose: .window)
        let blockBytes = inputs / tensor.type.blockSize * tensor.type.blockBytes
        let blocks = try Buffer(
            byteCount: step * blockBytes, ledger: backend.ledger, purpose: .window)
        for first in stride(from: 0, to: module.outputs, by: step) {
            let rows = first..<min(first + step, module.outputs)
            try source.dequantize(
                outputs: rows,
                into: UnsafeMutableBufferPointer(
                    start: values.pointer, count: rows.count * inputs))
            guard backend.allFinite(count: rows.count * inputs, values.pointer, .f32) else {
                throw ConversionError(
                    .numbers, Numbers.stored, path: checkpoint.path, tensor: module.name)
            }
            let job = BlockJob(
                type: tensor.type, values: values.pointer, inputs: inputs, headDim: headDim,
                blocks: blocks.base, rowBytes: blockBytes)
            job.run(rows: rows.count, backend)
            if tensor.type == .f16 {
                try Numbers.requireFinite(
                    blocks.base, rows.count * inputs,
                    stored: (UnsafeRawPointer(values.pointer), .f32),
                    .f16, module.name, backend, path: output)
            }
            try file.write(
                UnsafeRawBufferPointer(rebasing: blocks.bytes[..<(rows.count * blockBytes)]))
            try advance()
        }
        checkpoint.releasePages(of: module.name + ".weight")
    }

    /// Rows of numbers to rows of blocks, on all workers.
    private struct BlockJob: @unchecked Sendable {
        let type: GGUFTensorType
        let values: UnsafeMutablePointer<Float>
        let inputs: Int
        let headDim: Int?
        let blocks: UnsafeMutableRawPointer
        let rowBytes: Int

        func run(rows: Int, _ backend: CPUBackend) {
            withUnsafePointer(to: self) { job in
                eft_parallel_for(
                    backend.context, rows,
                    { argument, row, _ in
                        argument?.assumingMemoryBound(to: BlockJob.self).pointee.row(row)
                    }, UnsafeMutableRawPointer(mutating: job))
            }
        }

        private func row(_ row: Int) {
            let source = values + GGUFConverter.source(of: row, headDim) * inputs
            let target = blocks + row * rowBytes
            let numbers = UnsafeBufferPointer(start: source, count: inputs)
            let bytes = UnsafeMutableRawBufferPointer(start: target, count: rowBytes)
            switch type {
            case .f32: ElementConversion.encode(numbers, as: .f32, into: bytes)
            case .f16: ElementConversion.encode(numbers, as: .f16, into: bytes)
            case .bf16: ElementConversion.encode(numbers, as: .bf16, into: bytes)
            default:
                _ = eft_gguf_quantize(type.rawValue, inputs / type.blockSize, source, target)
            }
        }
    }
}
