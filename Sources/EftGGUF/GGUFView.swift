// SPDX-License-Identifier: Apache-2.0
// The tensors of a GGUF file under Hugging Face's names, as parts of what the file stores.

/// A tensor in Hugging Face's form: rows of a stored one, perhaps in another order.
package struct GGUFView: Sendable, Hashable {
    /// The name in Hugging Face's form.
    package let name: String
    /// Extents, outermost first.
    package let dims: [Int]
    /// The stored tensor.
    package let tensor: GGUFTensor
    /// The file of the model that stores it, counted from 0.
    package let part: Int
    /// Numbers of a row.
    package let columns: Int
    /// Rows.
    package let rows: Int
    /// The first of its rows in the stored tensor.
    let firstRow: Int
    /// Numbers of a head whose rows are stored as neighbours rotate together; nil for rows in order.
    let headDim: Int?
    /// What is added to each stored number.
    package let shift: Float
    /// Whether rows are stored as neighbours rotate together in heads whose width the file does not say; such rows
    /// cannot be read before `of(headDim:)`.
    package var hasUnknownHeads = false

    /// Whether rows lie in the file in their order.
    package var isInOrder: Bool { headDim == nil && !hasUnknownHeads }
    /// Bytes of a stored row.
    package var rowBytes: Int { columns / tensor.type.blockSize * tensor.type.blockBytes }

    /// The view with heads of a width where it was not known; nil when the rows are no whole heads.
    package func of(headDim: Int) -> GGUFView? {
        guard hasUnknownHeads else { return self }
        guard headDim > 0, headDim % 2 == 0, rows % headDim == 0 else { return nil }
        return GGUFView(
            name: name, dims: dims, tensor: tensor, part: part, columns: columns, rows: rows,
            firstRow: firstRow, headDim: headDim, shift: shift)
    }

    /// Where a row lies in its file.
    package func place(ofRow row: Int) -> Range<Int> {
        let start = tensor.bytes.lowerBound + (firstRow + stored(row)) * rowBytes
        return start..<start + rowBytes
    }

    /// Where a row lies among the tensor's own.
    ///
    /// Number j of a half of a head lies at 2j, or at 2j + 1 for the second half.
    private func stored(_ row: Int) -> Int {
        guard let headDim else { return row }
        let (head, place) = (row / headDim, row % headDim)
        let half = headDim / 2
        return head * headDim + 2 * (place % half) + place / half
    }
}

/// Makes the views of a model's tensors.
struct GGUFViews {
    private let model: String
    private let family: GGUFFamily
    private let config: GGUFConfig
    private let layers: Int
    private let headDim: Int
    private var views: [GGUFView] = []
    private var names: Set<String> = []

    /// Gives every tensor its place.
    /// - Throws: `GGUFError`; `unsupported` for a tensor that has none.
    static func make(_ config: GGUFConfig, _ family: GGUFFamily) throws(GGUFError) -> [GGUFView] {
        var made = GGUFViews(
            model: config.file.path, family: family, config: config, layers: try config.layers(),
            headDim: try config.headDim())
        for (part, tensor) in config.file.tensors { try made.add(tensor, part) }
        return made.views
    }

    private mutating func add(_ tensor: GGUFTensor, _ part: Int) throws(GGUFError) {
        var words = tensor.name.split(separator: ".", omittingEmptySubsequences: false)
        guard let last = words.last, last == "weight" || last == "bias" else {
            // Some early files have the frequencies without an ending.
            if GGUFFamily.passedOver.contains(tensor.name) { return }
            throw fault(tensor)
        }
        words.removeLast()
        if words.count >= 3, words[0] == "blk", let layer = Int(words[1]) {
            // Layers behind the last are for predicting further tokens.
            guard layer < layers else { return }
            try add(tensor, part, layer: layer, String(words[2]), words.dropFirst(3), String(last))
            return
        }
        let stem = words.joined(separator: ".")
        if GGUFFamily.passedOver.contains(stem) { return }
        guard let name = family.outerNames[stem] ?? GGUFFamily.outerNames[stem] else {
            throw fault(tensor)
        }
        try append("\(name).\(last)", tensor, part, shift: shift(name, last == "weight"))
    }

    // MARK: Layers

    private mutating func add(
        _ tensor: GGUFTensor, _ part: Int, layer: Int, _ stem: String,
        _ rest: ArraySlice<Substring>, _ last: String
    ) throws(GGUFError) {
        if GGUFFamily.passedOver.contains(stem) { return }
        let path = "model.layers.\(layer)."
        switch stem {
        case "attn_qkv": return try addFused(tensor, part, path, last)
        case "ffn_gate_up_exps": return try addGateAndUp(tensor, part, path, last)
        default: break
        }
        guard let name = family.names[stem] ?? GGUFFamily.layerNames[stem] else {
            throw fault(tensor)
        }
        if name.contains("*") {
            if let expert = rest.first.flatMap({ Int($0) }), rest.count == 1 {
                // Early files have a tensor for each expert.
                let own = path + name.replacing("*", with: String(expert))
                return try append("\(own).\(last)", tensor, part)
            }
            guard rest.isEmpty else { throw fault(tensor) }
            return try addExperts(tensor, part, path + name, last, of: nil)
        }
        guard rest.isEmpty else { throw fault(tensor) }
        let turns = family.isInterleaved && (stem == "attn_q" || stem == "attn_k")
        if stem == "ffn_gate_inp_shexp", tensor.dims.count == 1 {
            return try append(
                path + name + "." + last, tensor, part, dims: [1, tensor.dims[0]])
        }
        try append(
            path + name + "." + last, tensor, part, turns: turns,
            shift: shift(name, last == "weight"))
    }

    /// Experts that are stored one behind the other; of gate and up in one tensor, one half.
    private mutating func addExperts(
        _ tensor: GGUFTensor, _ part: Int, _ name: String, _ last: String, of half: Int?
    ) throws(GGUFError) {
        guard tensor.dims.count == 3, half == nil || tensor.dims[1] % 2 == 0 else {
            throw shapeFault(tensor)
        }
        let rows = half == nil ? tensor.dims[1] : tensor.dims[1] / 2
        for expert in 0..<tensor.dims[0] {
            let own = name.replacing("*", with: String(expert))
            try append(
                "\(own).\(last)", tensor, part,
                firstRow: expert * tensor.dims[1] + (half ?? 0) * rows,
                dims: [rows, tensor.columns])
        }
    }

    private mutating func addGateAndUp(
        _ tensor: GGUFTensor, _ part: Int, _ path: String, _ last: String
    ) throws(GGUFError) {
        for (half, stem) in ["ffn_gate_exps", "ffn_up_exps"].enumerated() {
            guard let name = family.names[stem] ?? GGUFFamily.layerNames[stem] else { continue }
            try addExperts(tensor, part, path + name, last, of: half)
        }
    }

    /// Queries, keys and values in one tensor.
    private mutating func addFused(
        _ tensor: GGUFTensor, _ part: Int, _ path: String, _ last: String
    ) throws(GGUFError) {
        let heads = try config.required("attention.head_count")
        let kvHeads = try config.whole("attention.head_count_kv") ?? heads
        let widths = [heads, kvHeads, kvHeads].map { $0 * headDim }
        let isBias = tensor.dims.count == 1
        guard tensor.dims.count <= 2, tensor.dims[0] == widths.reduce(0, +) else {
            throw shapeFault(tensor)
        }
        var first = 0
        for (width, stem) in zip(widths, ["attn_q", "attn_k", "attn_v"]) {
            guard let name = family.names[stem] ?? GGUFFamily.layerNames[stem] else { continue }
            try append(
                path + name + "." + last, tensor, part, firstRow: first,
                dims: isBias ? [width] : [width, tensor.columns],
                turns: family.isInterleaved && stem != "attn_v")
            first += width
        }
    }

    // MARK: One view

    private func shift(_ name: String, _ isWeight: Bool) -> Float {
        let isNorm = name.hasSuffix("norm")
        return family.hasShiftedNorms && isWeight && isNorm ? -1 : 0
    }

    private mutating func append(
        _ name: String, _ tensor: GGUFTensor, _ part: Int, firstRow: Int = 0, dims: [Int]? = nil,
        turns: Bool = false, shift: Float = 0
    ) throws(GGUFError) {
        let dims = dims ?? tensor.dims
        // A part of a list, or one whose rows change their order, has rows of one number.
        let isCut = dims.count == 1 && (turns || firstRow > 0 || dims != tensor.dims)
        let columns = isCut ? 1 : dims[dims.count - 1]
        let rows = isCut ? dims[0] : dims.dropLast().reduce(1, *)
        guard !isCut || !tensor.type.isQuantized else { throw shapeFault(tensor) }
        if turns {
            guard headDim % 2 == 0, headDim > 0, rows % headDim == 0, dims.count <= 2 else {
                throw shapeFault(tensor)
            }
        }
        guard names.insert(name).inserted else {
            throw GGUFError(
                .damaged, "two tensors stand for \(name)", path: model, tensor: tensor.name)
        }
        views.append(
            GGUFView(
                name: name, dims: dims, tensor: tensor, part: part, columns: columns, rows: rows,
                firstRow: firstRow, headDim: turns ? headDim : nil, shift: shift))
    }

    private init(
        model: String, family: GGUFFamily, config: GGUFConfig, layers: Int, headDim: Int
    ) {
        self.model = model
        self.family = family
        self.config = config
        self.layers = layers
        self.headDim = headDim
    }

    private func fault(_ tensor: GGUFTensor) -> GGUFError {
        GGUFError(
            .unsupported, "has no place in a model of the type \(family.modelType)", path: model,
            tensor: String(tensor.name.prefix(100)))
    }

    private func shapeFault(_ tensor: GGUFTensor) -> GGUFError {
        GGUFError(
            .damaged, "has extents \(tensor.dims), which do not fit its place", path: model,
            tensor: String(tensor.name.prefix(100)))
    }
}
