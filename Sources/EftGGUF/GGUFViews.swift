// SPDX-License-Identifier: Apache-2.0
// Every tensor of a GGUF file gets its place in Hugging Face's form.

/// Makes the views of a model's tensors.
struct GGUFViews {
    /// A stored tensor of a layer.
    struct Stored {
        let source: GGUFView.Source
        let layer: Int
        /// Its name behind the layer, such as "attn_q".
        let stem: String
        /// What stands behind the stem: a number of an expert in early files.
        let rest: [Substring]
        /// "weight" or "bias"; empty where the name has no ending.
        let ending: String

        var tensor: GGUFTensor { source.tensor }
        /// The name as it stands in tables of endings.
        var full: String { ending.isEmpty ? stem : stem + "." + ending }
    }

    let family: GGUFFamily
    let config: GGUFConfig
    private let layers: Int
    private var views: [GGUFView] = []
    private var names: Set<String> = []
    private let all: [String: GGUFView.Source]

    /// Gives every tensor its place.
    /// - Throws: `GGUFError`; `unsupported` for a tensor that has none.
    static func make(_ config: GGUFConfig, _ family: GGUFFamily) throws(GGUFError) -> [GGUFView] {
        var made = GGUFViews(family: family, config: config, layers: try config.layers())
        for (part, tensor) in config.file.tensors {
            try made.add(GGUFView.Source(tensor: tensor, part: part))
        }
        return made.views
    }

    private init(family: GGUFFamily, config: GGUFConfig, layers: Int) {
        self.family = family
        self.config = config
        self.layers = layers
        let sources = config.file.tensors.map { part, tensor in
            (tensor.name, GGUFView.Source(tensor: tensor, part: part))
        }
        all = Dictionary(sources) { first, _ in first }
    }

    /// Another tensor of the same layer with the same ending.
    /// - Throws: `GGUFError` (`missing`).
    func beside(_ stored: Stored, _ stem: String) throws(GGUFError) -> GGUFView.Source {
        let name = "blk.\(stored.layer).\(stem).\(stored.ending)"
        guard let found = all[name] else {
            throw GGUFError(
                .missing, "the file has no such tensor, which \(stored.tensor.name) needs",
                path: config.file.path, tensor: name)
        }
        return found
    }

    // MARK: One tensor

    private mutating func add(_ source: GGUFView.Source) throws(GGUFError) {
        let tensor = source.tensor
        var words = tensor.name.split(separator: ".", omittingEmptySubsequences: false)
        var ending = ""
        if words.last == "weight" || words.last == "bias" { ending = String(words.removeLast()) }
        let stem = words.joined(separator: ".")
        if GGUFFamily.passedOver.contains(stem) { return }
        if words.count >= 3, words[0] == "blk", let layer = Int(words[1]) {
            // Layers behind the last are for predicting further tokens.
            guard layer < layers else { return }
            let stored = Stored(
                source: source, layer: layer, stem: String(words[2]),
                rest: Array(words.dropFirst(3)), ending: ending)
            if GGUFFamily.passedOver.contains(stored.stem) { return }
            return try add(stored)
        }
        guard !ending.isEmpty, let name = family.outerNames[stem] ?? GGUFFamily.outerNames[stem]
        else { throw fault(tensor) }
        try append(
            "\(name).\(ending)", source, change: change(name, ending == "weight"))
    }

    private mutating func add(_ stored: Stored) throws(GGUFError) {
        let path = family.layersPath + ".\(stored.layer)."
        if try family.special(&self, stored, path) { return }
        if let name = family.endings[stored.full] {
            return try append(
                path + name, stored.source, dims: family.endingDims(name, stored.tensor.dims))
        }
        guard !stored.ending.isEmpty else { throw fault(stored.tensor) }
        for (name, stems) in family.joined where stems.contains(stored.stem) {
            return try addJoined(stored, path + name, stems)
        }
        switch stored.stem {
        case "attn_qkv" where family.names["attn_qkv"] == nil: return try addFused(stored, path)
        case "ffn_gate_up_exps" where family.names["ffn_gate_up_exps"] == nil:
            return try addGateAndUp(stored, path)
        default: break
        }
        guard let name = family.names[stored.stem] ?? GGUFFamily.layerNames[stored.stem] else {
            throw fault(stored.tensor)
        }
        if name.contains("*") { return try addExperts(stored, path + name) }
        guard stored.rest.isEmpty else { throw fault(stored.tensor) }
        try addPlain(stored, path + name)
    }

    private mutating func addPlain(_ stored: Stored, _ name: String) throws(GGUFError) {
        let full = name + "." + stored.ending
        if stored.stem == "attn_qkv", family.groupsHeads {
            return try append(full, stored.source, runs: groupedHeads(stored.tensor))
        }
        if stored.stem == "ffn_gate_inp_shexp", stored.tensor.dims.count == 1 {
            return try append(full, stored.source, dims: [1, stored.tensor.dims[0]])
        }
        let turns = family.isInterleaved && (stored.stem == "attn_q" || stored.stem == "attn_k")
        guard turns else {
            return try append(
                full, stored.source, change: change(name, stored.ending == "weight"))
        }
        try append(full, stored.source, runs: try halves(stored.tensor, 0, stored.tensor.dims[0]))
    }

    private func halves(
        _ tensor: GGUFTensor, _ first: Int, _ count: Int
    ) throws(GGUFError) -> [GGUFView.Run] {
        let headDim = try config.headDim()
        guard headDim % 2 == 0, headDim > 0, count % headDim == 0, tensor.dims.count <= 2 else {
            throw shapeFault(tensor)
        }
        return GGUFView.Run.halves(first: first, count: count, headDim: headDim)
    }

    // MARK: Experts

    private mutating func addExperts(_ stored: Stored, _ name: String) throws(GGUFError) {
        if let expert = stored.rest.first.flatMap({ Int($0) }), stored.rest.count == 1 {
            // Early files have a tensor for each expert.
            let own = name.replacing("*", with: String(expert))
            return try append("\(own).\(stored.ending)", stored.source)
        }
        guard stored.rest.isEmpty else { throw fault(stored.tensor) }
        try addExperts(stored, name, of: nil)
    }

    /// Experts that are stored one behind the other; of gate and up in one tensor, one half.
    private mutating func addExperts(
        _ stored: Stored, _ name: String, of half: Int?
    ) throws(GGUFError) {
        let (tensor, isBias) = (stored.tensor, stored.ending == "bias")
        guard tensor.dims.count == (isBias ? 2 : 3), half == nil || tensor.dims[1] % 2 == 0 else {
            throw shapeFault(tensor)
        }
        let rows = half == nil ? tensor.dims[1] : tensor.dims[1] / 2
        for expert in 0..<tensor.dims[0] {
            let own = name.replacing("*", with: String(expert))
            try append(
                "\(own).\(stored.ending)", stored.source,
                runs: [
                    .init(first: expert * tensor.dims[1] + (half ?? 0) * rows, count: rows)
                ], dims: isBias ? [rows] : [rows, tensor.columns])
        }
    }

    private mutating func addGateAndUp(_ stored: Stored, _ path: String) throws(GGUFError) {
        for (half, stem) in ["ffn_gate_exps", "ffn_up_exps"].enumerated() {
            guard let name = family.names[stem] ?? GGUFFamily.layerNames[stem] else { continue }
            try addExperts(stored, path + name, of: half)
        }
    }

    /// Tensors of which Hugging Face's form has the rows in one, those of the first before those of the second.
    private mutating func addJoined(
        _ stored: Stored, _ name: String, _ stems: [String]
    ) throws(GGUFError) {
        // The first brings the others.
        guard stored.stem == stems[0] else { return _ = try beside(stored, stems[0]) }
        var sources: [GGUFView.Source] = []
        for stem in stems { sources.append(try beside(stored, stem)) }
        let (dims, isBias) = (stored.tensor.dims, stored.ending == "bias")
        let isStacked = name.contains("*")
        guard dims.count == (isBias ? 1 : 2) + (isStacked ? 1 : 0) else {
            throw shapeFault(stored.tensor)
        }
        for source in sources where source.tensor.dims != dims { throw shapeFault(source.tensor) }
        let rows = isStacked ? dims[1] : dims[0]
        for expert in 0..<(isStacked ? dims[0] : 1) {
            let own = name.replacing("*", with: String(expert))
            let all = rows * sources.count
            try append(
                GGUFView(
                    name: "\(own).\(stored.ending)",
                    dims: isBias ? [all] : [all, stored.tensor.columns], sources: sources,
                    runs: sources.indices.map {
                        GGUFView.Run(source: $0, first: expert * rows, count: rows)
                    }, columns: isBias ? 1 : stored.tensor.columns))
        }
    }

    // MARK: Queries, keys and values in one tensor

    private func heads() throws(GGUFError) -> (queries: Int, keys: Int, width: Int) {
        let heads = try config.required("attention.head_count")
        let kvHeads = try config.whole("attention.head_count_kv") ?? heads
        let width = try config.headDim()
        guard kvHeads > 0, heads % kvHeads == 0, heads <= 1 << 20, width <= 1 << 20 else {
            throw config.file.fault(
                config.key("attention.head_count_kv"),
                "(\(kvHeads)) does not divide \(heads) heads of \(width)")
        }
        return (heads, kvHeads, width)
    }

    private mutating func addFused(_ stored: Stored, _ path: String) throws(GGUFError) {
        let (heads, tensor) = (try heads(), stored.tensor)
        let widths = [heads.queries, heads.keys, heads.keys].map { $0 * heads.width }
        let isBias = tensor.dims.count == 1
        guard tensor.dims.count <= 2, tensor.dims[0] == widths.reduce(0, +) else {
            throw shapeFault(tensor)
        }
        var first = 0
        for (width, stem) in zip(widths, ["attn_q", "attn_k", "attn_v"]) {
            guard let name = family.names[stem] ?? GGUFFamily.layerNames[stem] else { continue }
            let turns = family.isInterleaved && stem != "attn_v"
            try append(
                path + name + "." + stored.ending, stored.source,
                runs: turns
                    ? try halves(tensor, first, width) : [.init(first: first, count: width)],
                dims: isBias ? [width] : [width, tensor.columns])
            first += width
        }
    }

    /// Rows that Hugging Face's form has by heads of keys, each behind its queries, and the file has all queries first.
    private func groupedHeads(_ tensor: GGUFTensor) throws(GGUFError) -> [GGUFView.Run] {
        let heads = try heads()
        let (share, width) = (heads.queries / heads.keys, heads.width)
        guard tensor.dims.count <= 2, width > 0,
            tensor.dims[0] == (heads.queries + 2 * heads.keys) * width
        else { throw shapeFault(tensor) }
        return (0..<heads.keys).flatMap { group in
            [
                GGUFView.Run(first: group * share * width, count: share * width),
                GGUFView.Run(first: (heads.queries + group) * width, count: width),
                GGUFView.Run(first: (heads.queries + heads.keys + group) * width, count: width),
            ]
        }
    }

    // MARK: One view

    private func change(_ name: String, _ isWeight: Bool) -> GGUFView.Change {
        let isNorm = name.hasSuffix("norm") && !family.plainNorms.contains { name.hasSuffix($0) }
        return family.hasShiftedNorms && isWeight && isNorm ? .plus(-1) : .none
    }

    /// Adds a view of one stored tensor: of all of it where no rows are named.
    mutating func append(
        _ name: String, _ source: GGUFView.Source, runs: [GGUFView.Run]? = nil, dims: [Int]? = nil,
        change: GGUFView.Change = .none
    ) throws(GGUFError) {
        let tensor = source.tensor
        let dims = dims ?? tensor.dims
        // Rows of a list are its numbers.
        let isCut = dims.count == 1 && runs != nil
        guard !isCut || !tensor.type.isQuantized else { throw shapeFault(tensor) }
        let rows = dims.dropLast().reduce(1, *)
        try append(
            GGUFView(
                name: name, dims: dims, sources: [source],
                runs: runs ?? [.init(first: 0, count: rows)],
                columns: isCut ? 1 : dims[dims.count - 1], change: change))
    }

    /// Adds a view whose name is new.
    mutating func append(_ view: GGUFView) throws(GGUFError) {
        guard names.insert(view.name).inserted else {
            throw GGUFError(
                .damaged, "two tensors stand for \(view.name)", path: config.file.path,
                tensor: view.sources.first?.tensor.name)
        }
        for source in view.sources where source.tensor.type.isQuantized && view.columns == 1 {
            throw shapeFault(source.tensor)
        }
        views.append(view)
    }

    func fault(_ tensor: GGUFTensor) -> GGUFError {
        GGUFError(
            .unsupported, "has no place in a model of the type \(family.modelType)",
            path: config.file.path, tensor: String(tensor.name.prefix(100)))
    }

    func shapeFault(_ tensor: GGUFTensor) -> GGUFError {
        GGUFError(
            .damaged, "has extents \(tensor.dims), which do not fit its place",
            path: config.file.path, tensor: String(tensor.name.prefix(100)))
    }
}
