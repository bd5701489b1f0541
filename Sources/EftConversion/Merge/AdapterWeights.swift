// SPDX-License-Identifier: Apache-2.0
// The tensors of a PEFT adapter, matched with the modules of a base model before anything is written.
import EftFormats
import EftModels
import EftTensor

/// A PEFT adapter that fits a base model: A and B of each module, read when they are needed.
struct AdapterWeights {
    /// One adapted module.
    struct Module: Sendable {
        /// r.
        let rank: Int
        /// Factor of B A.
        let scale: Float
        /// K and N.
        let inputs: Int
        let outputs: Int
        let nameA: String
        let nameB: String
        /// The lengths of the merged rows, with DoRA.
        let nameM: String?
        /// Whether A `[r][V]` and B `[C][r]` are an embedding's, whose weight changes by the transpose of B A.
        var isEmbedding = false
    }

    /// A and B of a module, and the lengths of the merged rows with DoRA.
    struct Loaded {
        /// A, `[r][K]`.
        let a: Matrix
        /// B, `[N][r]`.
        let b: Matrix
        /// Factor of B A.
        let scale: Float
        /// N lengths.
        let lengths: Buffer?

        /// W becomes the merged weight, for a run of rows; `delta` of the same form holds anything afterwards.
        ///
        /// Three roundings, as PEFT's product, scaling and sum are apart. With DoRA each row gets its length.
        /// - Throws: `TensorError` when the device's scratch memory does not fit.
        func merge(
            _ rows: Range<Int>, into weight: Matrix, delta: Matrix, _ backend: CPUBackend
        ) throws(TensorError) {
            try backend.gemm(
                b.rows(rows), transposeA: false, a, transposeB: false, into: delta, alpha: 1,
                beta: 0)
            backend.scale(delta, by: scale)
            backend.addScaled(delta, factor: 1, to: weight)
            guard let lengths else { return }
            for (place, row) in rows.enumerated() {
                let values = weight.rows(place..<place + 1)
                var sum = 0.0
                for column in 0..<values.columns {
                    let value = Double(values.pointer[column])
                    sum += value * value
                }
                backend.scale(
                    values, by: sum > 0 ? lengths.floats[row] / Float(sum.squareRoot()) : 0)
            }
        }
    }

    /// Adapted modules by their names in the base.
    let modules: [String: Module]
    private let checkpoint: any CheckpointReader

    /// Opens an adapter and checks names, shapes and settings against a base.
    /// - Throws: `ConversionError` (`mismatch`), `ModelError`, `FormatError`, `ConfigError`.
    init(folder: String, base: DecoderDescription) throws {
        let config = try AdapterConfig.read(folder: folder)
        let stacked = StackedAdapters(config.targetParameters, base)
        checkpoint = try AdapterFile.open(folder, stacked, base)
        var modules: [String: Module] = [:]
        var unused = Set(checkpoint.tensors.map(\.name) + checkpoint.opaqueTensors.map(\.name))
        for (name, inputs, outputs) in AdapterWeights.extents(base) {
            let path = AdapterFile.prefix + name
            let names = (path + AdapterFile.suffixes.a, path + AdapterFile.suffixes.b)
            guard unused.contains(names.0) || unused.contains(names.1) else { continue }
            let (rank, scale) = stacked.settings(name, in: config)
            try AdapterWeights.check(checkpoint, names.0, [rank, inputs])
            try AdapterWeights.check(checkpoint, names.1, [outputs, rank])
            guard Float(scale).isFinite else {
                throw ConversionError(
                    .mismatch, "the adapter's scale is not a finite number", path: folder,
                    tensor: names.0)
            }
            var lengths: String?
            if config.usesDora {
                let found = try AdapterFile.magnitudeName(of: name, in: checkpoint, base)
                try AdapterWeights.check(checkpoint, found, [outputs])
                unused.remove(found)
                lengths = found
            }
            modules[name] = Module(
                rank: rank, scale: Float(scale), inputs: inputs, outputs: outputs,
                nameA: names.0, nameB: names.1, nameM: lengths)
            unused.subtract([names.0, names.1])
        }
        if let module = try AdapterWeights.embedding(config, base, checkpoint) {
            modules[base.embeddingName] = module
            unused.subtract([module.nameA, module.nameB])
        }
        unused.subtract(try SavedEnds(adapter: folder, in: checkpoint, base: base)?.names ?? [])
        if let stranger = unused.min() {
            throw ConversionError(
                .mismatch, "has no place in this base model; it was made for another one",
                path: checkpoint.path, tensor: stranger)
        }
        guard !modules.isEmpty else {
            throw ConversionError(.mismatch, "the adapter holds no tensor", path: folder)
        }
        if base.tiedEmbeddings, modules[base.headName] != nil {
            throw ConversionError(
                .unsupported,
                "an adapter on a head that is tied to the embedding cannot be merged; run it unmerged",
                path: checkpoint.path, tensor: AdapterFile.prefix + base.headName)
        }
        self.modules = modules
    }

    /// The adapter of the embedding; nil when there is none.
    private static func embedding(
        _ config: AdapterConfig, _ base: DecoderDescription, _ checkpoint: any CheckpointReader
    ) throws -> Module? {
        let names = AdapterFile.embeddingNames(base)
        guard names.contains(where: { checkpoint.find($0) != nil }) else { return nil }
        try AdapterFile.requirePlainEmbedding(config, checkpoint)
        guard !base.tiedEmbeddings else {
            throw ConversionError(
                .unsupported,
                "an adapter on an embedding that the head is tied to cannot be merged; run it unmerged",
                path: checkpoint.path, tensor: names[0])
        }
        let (rank, scale) = config.settings(for: base.embeddingName)
        let (vocabulary, hidden) = (base.vocabulary, base.shape.hidden)
        try check(checkpoint, names[0], [rank, vocabulary])
        try check(checkpoint, names[1], [hidden, rank])
        return Module(
            rank: rank, scale: Float(scale), inputs: hidden, outputs: vocabulary,
            nameA: names[0], nameB: names[1], nameM: nil, isEmbedding: true)
    }

    private static func extents(_ base: DecoderDescription) -> [(String, Int, Int)] {
        let linears = (0..<base.layers).flatMap { base.linears(layer: $0) }
            .map { ($0.name, $0.inputs, $0.outputs) }
        return linears + [(base.headName, base.shape.hidden, base.headOutputs)]
    }

    private static func check(
        _ checkpoint: any CheckpointReader, _ name: String, _ expected: [Int]
    ) throws {
        let info = try checkpoint.tensor(name)
        guard info.shape.dims == expected, info.dtype.isFloatingPoint else {
            throw ConversionError(
                .mismatch,
                "has shape \(info.shape) of \(info.dtype.rawValue); its configuration and the base "
                    + "ask for \(expected) of real numbers",
                path: checkpoint.path, tensor: name)
        }
    }

    /// Most bytes of A, B and lengths of a module.
    var largestBytes: Int {
        modules.values.map {
            ($0.rank * ($0.inputs + $0.outputs) + ($0.nameM == nil ? 0 : $0.outputs)) * 4
        }.max() ?? 0
    }

    /// Reads A, B and lengths of a module, entered under adapters.
    /// - Throws: `ConversionError` (`numbers`), `FormatError`, `TensorError`.
    func load(_ module: Module, backend: CPUBackend) throws -> Loaded {
        let a = try Matrix(
            rows: module.rank, columns: module.inputs, ledger: backend.ledger, purpose: .adapters)
        let b = try Matrix(
            rows: module.outputs, columns: module.rank, ledger: backend.ledger, purpose: .adapters)
        let lengths = try module.nameM.map { name in
            let buffer = try Buffer(
                byteCount: module.outputs * 4, ledger: backend.ledger, purpose: .adapters)
            return (name, buffer)
        }
        // The weight of an embedding has a row for each token: its A and B take each other's place.
        let names =
            module.isEmbedding ? (module.nameB, module.nameA) : (module.nameA, module.nameB)
        let parts = [(names.0, a.buffer), (names.1, b.buffer)] + (lengths.map { [$0] } ?? [])
        for (name, buffer) in parts {
            let target = UnsafeMutableBufferPointer(start: buffer.floats, count: buffer.floatCount)
            if module.isEmbedding {
                try readTransposed(name, into: target)
            } else {
                try checkpoint.readFloats(name, elements: 0..<target.count, into: target)
            }
            guard backend.allFinite(count: target.count, buffer.floats, .f32) else {
                throw ConversionError(
                    .numbers, Numbers.stored, path: checkpoint.path, tensor: name)
            }
        }
        return Loaded(a: a, b: b, scale: module.scale, lengths: lengths?.1)
    }

    /// Reads a matrix with rows and columns changed, some thousand numbers at a time.
    private func readTransposed(
        _ name: String, into target: UnsafeMutableBufferPointer<Float>
    ) throws {
        let dims = try checkpoint.tensor(name).shape.dims
        guard dims.count == 2, dims[0] * dims[1] == target.count else { return }
        let (rows, columns) = (dims[0], dims[1])
        for row in 0..<rows {
            for first in stride(from: 0, to: columns, by: 4096) {
                let count = min(4096, columns - first)
                try withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { part in
                    let place = row * columns + first
                    try checkpoint.readFloats(name, elements: place..<place + count, into: part)
                    for index in 0..<count { target[(first + index) * rows + row] = part[index] }
                }
            }
        }
    }
}
