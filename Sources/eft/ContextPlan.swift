// SPDX-License-Identifier: Apache-2.0
// How long a context generation gets: what was asked for, what the model has, what fits.
import EftCommandLine
import EftGeneration
import EftModels
import EftNN
import EftPlanning
import EftTensor

/// The length of a context, before memory is looked at.
struct ContextPlan {
    /// Tokens that it must have.
    var least: Int
    /// Tokens that it need not pass.
    var most: Int
    /// Sequences at once.
    var sequences = 1
    /// Bytes that sampling takes outside of the ledgers.
    var samplingBytes = 0
    /// Tokens of all prompts together, where they are known: no more rows are read at once.
    var promptTokens: Int?
    /// States that are kept of what conversations begin with, where layers have linear attention.
    var stateSnapshots = 0

    /// Most tokens of the model's context, or of the context that was asked for.
    /// - Throws: `UsageError` for a context that the model does not have.
    static func longest(
        _ arguments: ParsedArguments, _ model: DecoderDescription
    ) throws -> Int {
        guard let asked = try arguments.int("max-seq-len", in: 1...(1 << 24)) else {
            return model.contextLength
        }
        guard asked <= model.stretchedContext else {
            throw arguments.error(
                "max-seq-len",
                "is \(asked), but the model's context has \(model.stretchedContext) tokens (max_position_embeddings)"
            )
        }
        return asked
    }

    /// What generation needs: a context as long as fits beside the weights, at least as long as it must be.
    ///
    /// Where not even that fits in memory, layers are streamed.
    func need(
        _ arguments: ParsedArguments, _ model: inout LoadedModel
    ) throws -> GenerationNeed {
        var need = try fittingNeed(arguments, &model)
        if let promptTokens {
            need.prefillChunk = max(min(need.prefillChunk, promptTokens), sequences)
        }
        return need
    }

    private func fittingNeed(
        _ arguments: ParsedArguments, _ model: inout LoadedModel
    ) throws -> GenerationNeed {
        let description = model.folder.description
        let kvType = try ForeignOptions.cacheType(arguments, description)
        guard arguments.flag("fit") else {
            var need = GenerationNeed(
                contextLength: least, sequences: sequences, kvType: kvType,
                adapters: model.adapterExtents.widths)
            need.stateSnapshots = stateSnapshots
            if most > least { need.contextLength = try longestFitting(model, kvType) ?? least }
            return need
        }
        let types =
            ForeignOptions.namesCacheType(arguments)
            ? [kvType] : FitRequirements.kvTypes(headDim: description.shape.headDim)
        let asked = try arguments.int("max-seq-len", in: 1...(1 << 24))
        var requirements = FitRequirements(
            least: asked ?? least, most: asked ?? description.contextLength, kvTypes: types,
            sequences: sequences)
        requirements.stateSnapshots = stateSnapshots
        var (need, summary) = try model.fit(
            requirements, reserving: reservedBytes)
        need.adapters = model.adapterExtents.widths
        if !(arguments.declares("json") && arguments.flag("json")) {
            TerminalOutput.standardError.writeLine("fit: \(summary)")
        }
        return need
    }

    /// Bytes outside of the ledgers.
    private var reservedBytes: Int { Answers.bytes(tokens: most * sequences) + samplingBytes }

    private func longestFitting(_ model: LoadedModel, _ kvType: KVType) throws -> Int? {
        let candidate = FitCandidate(
            name: "", layouts: model.layouts, load: try model.loader.loadNeed())
        let planner = model.planner(reserving: reservedBytes)
        var requirements = FitRequirements(
            least: least, most: most, kvTypes: [kvType], sequences: sequences)
        requirements.stateSnapshots = stateSnapshots
        return planner.fit(
            [candidate], adapters: model.adapterExtents, requirements: requirements
        )?.need.contextLength
    }
}

extension DecoderDescription {
    /// Tokens of the context with its rotary scaling, where `max_position_embeddings` is the length before it.
    var stretchedContext: Int {
        let (factor, original): (Double, Int)
        switch rotary.scaling {
        case .linear(let by): (factor, original) = (by, contextLength)
        case .dynamic(let by, let length): (factor, original) = (by, length)
        case .yarn(let yarn): (factor, original) = (yarn.factor, yarn.originalContext)
        case .none, .llama3, .long: return contextLength
        }
        let stretched = Int(exactly: (Double(original) * factor).rounded(.down)) ?? contextLength
        return max(contextLength, stretched)
    }
}
