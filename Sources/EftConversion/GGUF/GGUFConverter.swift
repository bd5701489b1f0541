// SPDX-License-Identifier: Apache-2.0
// A model folder to one GGUF file that llama.cpp loads.
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
/// architecture has no words for it, and nothing is written. Where the file's rows come from follows from how they are read.
package final class GGUFConverter {
    private let folder: ModelFolder
    private let checkpoint: any CheckpointReader
    private let output: String
    private let mix: GGUFMix
    private let importance: ImportanceMatrix?
    private let backend: CPUBackend
    /// Lists of numbers that are no weights, which stand first in the file.
    private let factors: [(name: String, numbers: [Float])]
    let tensors: [GGUFHeaderWriter.Tensor]
    private let head: [UInt8]
    private(set) var origins: GGUFOrigins

    /// Tensors that will be written.
    package var tensorCount: Int { tensors.count }
    /// Bytes that will be written.
    package var byteCount: Int {
        tensors.reduce(head.count) { GGUFHeaderWriter.aligned($0 + $1.byteCount) }
    }

    /// Opens and checks the input; writes nothing but a head that is taken away again.
    /// - Parameters:
    ///   - importance: the file of an importance matrix, for types of blocks.
    ///   - checksShape: whether shapes that llama.cpp does not read are refused.
    ///   - writesTokenizer: whether the file has a tokenizer; without one nothing runs it.
    /// - Throws: `ConversionError` (`unsupported`) for models that are not written, `TokenizerError`, `FormatError`.
    package init(
        _ folder: ModelFolder, output: String, mix: GGUFMix, importance: String? = nil,
        checksShape: Bool = true, writesTokenizer: Bool = true, backend: CPUBackend
    ) throws {
        let type = try folder.config.string("model_type", default: "")
        let description = folder.description
        let hasTwoNorms = description.shape.isParallel && description.norms.feedForward != nil
        guard let names = GGUFNames(modelType: type, hasTwoNorms: hasTwoNorms),
            description.scores == nil
        else {
            throw ConversionError(
                .unsupported,
                "GGUF files of the model type '\(type)' are not written; written are "
                    + GGUFNames.modelTypes.joined(separator: ", "), path: folder.path)
        }
        if checksShape { try GGUFShapeCheck.check(folder, architecture: names.architecture) }
        guard let checkpoint = folder.checkpoint else {
            throw ConversionError(.usage, "the folder has no weights", path: folder.path)
        }
        self.folder = folder
        self.checkpoint = checkpoint
        self.output = output
        self.mix = mix
        do throws(GGUFError) {
            self.importance = try importance.map { (path) throws(GGUFError) in
                try ImportanceMatrix(path: path)
            }
        } catch { throw FormatError(error) }
        self.backend = backend
        var head = try GGUFSettings.write(folder, names, mix: mix)
        if writesTokenizer {
            try GGUFTokenizerWriter.add(
                folder.tokenizerFolder, vocabulary: description.vocabulary, to: &head)
        }
        if let importance = self.importance { GGUFSettings.add(importance, to: &head) }
        factors = GGUFSettings.factors(description.rotary)
        tensors =
            try factors.map { .init(name: $0.name, dims: [$0.numbers.count], type: .f32) }
            + GGUFTensorList.make(folder, names, mix, isWeighted: importance != nil)
        try GGUFConverter.check(self.importance, tensors)
        self.head = head.bytes(tensors)
        origins = GGUFOrigins()
        origins = try checkedOrigins()
    }

    /// Refuses an importance matrix of another model, which would do nothing.
    private static func check(
        _ importance: ImportanceMatrix?, _ tensors: [GGUFHeaderWriter.Tensor]
    ) throws(ConversionError) {
        guard let importance else { return }
        let names = Set(importance.names)
        guard tensors.contains(where: { names.contains($0.name) }) else {
            throw ConversionError(
                .mismatch,
                "the importance matrix has no numbers for any weight of this model; it was made of another",
                path: importance.path)
        }
    }

    // MARK: The head

    /// Reads the head back, compares the model that it describes with the one that is written, and finds where the rows of
    /// each tensor come from.
    private func checkedOrigins() throws -> GGUFOrigins {
        let path = output + ".head.gguf"
        defer { unlink(path) }
        var bytes = head
        for (_, numbers) in factors {
            numbers.withUnsafeBytes { bytes.append(contentsOf: $0) }
            bytes += [UInt8](
                repeating: 0, count: GGUFHeaderWriter.aligned(bytes.count) - bytes.count)
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
        let views: [GGUFView]
        do throws(GGUFError) { views = try GGUFModel.open(path).views } catch {
            throw FormatError(error)
        }
        return try GGUFOrigins(views, tensors, given: given, written: written)
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
        essence.possibleStack = nil
        essence.initializerRange = 0
        if essence.kinds.allSatisfy({ $0 == LayerKind() }) { essence.kinds = [] }
        if case .long(let long) = essence.rotary.scaling {
            essence.rotary = RotaryEmbedding(
                headDim: essence.rotary.headDim, theta: essence.rotary.theta,
                scaling: .long(
                    RotaryScaling.Long(
                        shortFactors: long.shortFactors.map(narrowed),
                        longFactors: long.longFactors.map(narrowed),
                        originalContext: long.originalContext,
                        attentionFactor: narrowed(long.attentionFactor))),
                interleaved: essence.rotary.interleaved)
        }
        return essence
    }

    /// The number that a file has, which holds it in f32.
    private static func narrowed(_ number: Double) -> Double { Double(Float(number)) }

    // MARK: Run

    private var writer: GGUFTensorWriter {
        GGUFTensorWriter(
            checkpoint: checkpoint, backend: backend, origins: origins, importance: importance,
            output: output)
    }

    /// Most bytes that `run` takes, by purpose.
    package var memory: MemoryTable {
        let writer = writer
        let most = tensors.reduce(0) { max($0, writer.byteCount($1)) }
        return MemoryTable([.window: most])
    }

    /// Writes the file.
    /// - Returns: the file.
    /// - Throws: `ConversionError`, `FormatError`, `TensorError`, and what the monitor throws.
    @discardableResult
    package func run(_ monitor: ConversionMonitor = ConversionMonitor()) throws -> [String] {
        let file = try OutputFile(path: output)
        try file.write(head)
        let (total, writer) = (byteCount, writer)
        for (index, tensor) in tensors.enumerated() {
            if index < factors.count {
                try factors[index].numbers.withUnsafeBytes { try file.write($0) }
            } else {
                try writer.write(tensor, to: file) {
                    try monitor.step(tensor.name, done: file.byteCount, total: total)
                }
            }
            let padding = GGUFHeaderWriter.aligned(file.byteCount) - file.byteCount
            try file.write([UInt8](repeating: 0, count: padding))
        }
        try file.publish()
        return [output]
    }
}
