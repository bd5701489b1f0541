// SPDX-License-Identifier: Apache-2.0
// Where the rows of a GGUF file's tensors come from: how they are read, the other way round.
import EftGGUF
import EftModels

/// For each tensor that is written, the tensors of the model whose rows it holds, and where.
struct GGUFOrigins {
    /// Rows of a tensor of the model that stand in one stored tensor at equal distances.
    struct Part {
        /// The model's tensor.
        let name: String
        /// The linear layer, embedding or table whose weight it is; nil for vectors.
        let matrix: Matrix?
        /// The first of its rows that are meant.
        let firstRow: Int
        /// Where they stand.
        let run: GGUFView.Run
        /// Numbers of a row.
        let columns: Int
        /// Where the numbers of a row stand; empty where they stand in order.
        let columnRuns: [Range<Int>]
        let change: GGUFView.Change

        /// Whether rows stand side by side as they are.
        var isPlain: Bool { run.step == 1 && run.turnedFrom == nil && columnRuns.isEmpty }

        /// Which of its rows stand in a range of stored rows; all for columns of a matrix that begins or ends there.
        func rows(in stored: Range<Int>) -> Range<Int> {
            if let base = run.turnedFrom {
                return stored.overlaps(base..<base + columns) ? 0..<run.count : 0..<0
            }
            func rows(below place: Int) -> Int {
                min(max((place - run.first + run.step - 1) / run.step, 0), run.count)
            }
            let first = rows(below: max(stored.lowerBound, run.first))
            let end = rows(below: max(stored.upperBound, run.first))
            return first..<max(first, end)
        }
    }

    /// A weight that is read by rows.
    struct Matrix {
        let module: String
        let inputs: Int
        let outputs: Int
    }

    private var parts: [String: [Part]] = [:]

    init() {}

    /// - Parameters:
    ///   - views: the tensors of the model as the file has them.
    ///   - given: the model that is written; `written` is what the file says of it.
    /// - Throws: `ConversionError` (`unsupported`) where a tensor would not be written whole.
    init(
        _ views: [GGUFView], _ tensors: [GGUFHeaderWriter.Tensor], given: DecoderDescription,
        written: DecoderDescription
    ) throws {
        let matrices = GGUFOrigins.matrices(given)
        for view in views {
            let name = GGUFOrigins.name(view.name, given, written)
            var row = 0
            for run in view.runs {
                parts[view.sources[run.source].tensor.name, default: []].append(
                    Part(
                        name: name, matrix: matrices[name], firstRow: row, run: run,
                        columns: view.columns, columnRuns: view.columnRuns, change: view.change))
                row += run.count
            }
        }
        for tensor in tensors where !tensor.name.hasPrefix("rope_") {
            let found = self[tensor.name].reduce(0) { $0 + $1.run.count * $1.columns }
            guard found == tensor.dims.reduce(1, *) else {
                throw ConversionError(
                    .unsupported, "would not be written whole", tensor: tensor.name)
            }
        }
    }

    /// What a stored tensor is made of.
    subscript(name: String) -> [Part] { parts[name] ?? [] }

    /// The name that the model that is written has for a tensor.
    private static func name(
        _ name: String, _ given: DecoderDescription, _ written: DecoderDescription
    ) -> String {
        let pairs = [
            (written.names.layers, given.names.layers),
            (written.names.embedding, given.names.embedding),
            (written.names.finalNorm, given.names.finalNorm), (written.headName, given.headName),
        ]
        for (own, other) in pairs where name.hasPrefix(own + ".") {
            return other + name.dropFirst(own.count)
        }
        return name
    }

    private static func matrices(_ model: DecoderDescription) -> [String: Matrix] {
        var matrices: [String: Matrix] = [:]
        func add(_ module: String, _ inputs: Int, _ outputs: Int) {
            matrices[module + ".weight"] = Matrix(
                module: module, inputs: inputs, outputs: outputs)
        }
        add(model.embeddingName, model.shape.hidden, model.vocabulary)
        add(model.headName, model.shape.hidden, model.vocabulary)
        if let positions = model.positions {
            add(positions.name, model.shape.hidden, model.positionRows)
        }
        for layer in 0..<model.layers {
            for linear in model.linears(layer: layer) {
                add(linear.name, linear.inputs, linear.outputs)
            }
        }
        return matrices
    }
}
