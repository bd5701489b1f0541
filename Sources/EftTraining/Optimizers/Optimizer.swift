// SPDX-License-Identifier: Apache-2.0
// The optimizer of a run: parameters, their state, and a step by its rule.
import EftModels
import EftNN
import EftTensor

/// Changes parameters by their gradients, one rule for all.
package final class Optimizer {
    /// Parameters in the order of the model.
    package let parameters: [Parameter]
    /// How a parameter changes.
    package let rule: any UpdateRule
    /// What the rule keeps of each parameter.
    package let states: any OptimizerState
    /// Where the parts of each parameter's state stand.
    package let layouts: [StateLayout]
    /// Steps made.
    package var steps = 0
    private let settings: TrainingSettings
    private let rates: [ParameterRate]
    private let shapes: [ParameterShape]
    private let devices: [any Backend]
    /// Temporary memory of each device, by its account.
    private var scratch: [ObjectIdentifier: Buffer] = [:]
    /// What the linear-algebra library takes in a step.
    private var library: [LedgerEntry] = []

    /// Takes memory for the state: in a temporary file in the output folder when the optimizer is paged.
    /// - Parameters:
    ///   - devices: those that hold the parameters.
    ///   - isPaged: as the optimizer's name says when nil.
    /// - Throws: `TensorError` when it does not fit a ledger, `FormatError` (`io`) when the disk has no room for it,
    ///   `TrainingError` for arguments that the optimizer does not know.
    package init(
        parameters: [Parameter], settings: TrainingSettings, devices: [any Backend],
        isPaged: Bool? = nil
    ) throws {
        precondition(!devices.isEmpty, "no device")
        self.parameters = parameters
        self.settings = settings
        self.devices = devices
        let rule = try settings.optimizer.rule()
        self.rule = rule
        rates = parameters.map { ParameterRate($0, settings) }
        shapes = parameters.map { settings.optimizer.shape(of: $0) }
        layouts = shapes.map { StateLayout(rule.state(of: $0)) }
        let sizes = layouts.map(\.byteCount)
        states =
            isPaged ?? settings.optimizer.isPaged
            ? try PagedState(parameters, sizes: sizes, folder: settings.outputDir)
            : try ResidentState(parameters, sizes: sizes)
        try takeScratch()
    }

    private func takeScratch() throws {
        for device in devices {
            let own = Set(
                zip(parameters, shapes).filter { $0.0.gradient.ledger === device.ledger }.map(\.1))
            let products = own.map { rule.productBytes(for: $0, on: device) }
            if let most = products.max(), most > 0 { try device.reserveScratch(most) }
            if let most = own.map({ rule.libraryBytes(for: $0, on: device) }).max(), most > 0 {
                LinearAlgebra.useThreads((device as? CPUBackend)?.threads ?? 1)
                library.append(
                    try LedgerEntry(most, ledger: device.ledger, purpose: .optimizer))
            }
            guard let most = own.map({ rule.scratchBytes(for: $0) }).max(), most > 0
            else { continue }
            scratch[ObjectIdentifier(device.ledger)] = try Buffer(
                byteCount: most, ledger: device.ledger, purpose: .optimizer)
        }
    }

    /// The norm of all gradients together.
    package func gradientNorm() -> Double {
        parameters.reduce(0) { $0 + devices[0].sumOfSquares($1.gradient) }.squareRoot()
    }

    /// One step at a learning rate, gradients scaled down to the norm of the settings. Gradients hold anything afterwards.
    /// - Parameters:
    ///   - warmup: steps of the schedule's warm-up.
    ///   - number: for a parameter, which of its steps this is; nil when it stays as it is. The number of all steps when absent.
    /// - Returns: the norm before scaling; when it is not finite nothing was changed.
    /// - Throws: `FormatError` (`io`) when paged state cannot be read or written; the state is lost then.
    @discardableResult
    package func step(
        learningRate: Double, warmup: Int = 0, number: ((_ parameter: Int) -> Int?)? = nil
    ) throws -> Double {
        let norm = gradientNorm()
        guard norm.isFinite else { return norm }
        let most = settings.maxGradNorm
        let scale = most > 0 && norm > most ? most / (norm + 1e-6) : 1
        steps += 1
        try states.forEach { index, state in
            guard let number = number.map({ $0(index) }) ?? steps else { return }
            let rate = rates[index]
            try rule.update(
                target(index, state),
                OptimizerStep(
                    learningRate: learningRate * rate.factor, weightDecay: rate.weightDecay,
                    gradientScale: scale, number: number, warmup: warmup))
        }
        return norm
    }

    private func target(_ index: Int, _ state: Buffer) -> UpdateTarget {
        let parameter = parameters[index]
        let device = devices.first { $0.ledger === parameter.gradient.ledger } ?? devices[0]
        return UpdateTarget(
            parameter: parameter, shape: shapes[index],
            state: ParameterState(buffer: state, layout: layouts[index]),
            scratch: scratch[ObjectIdentifier(device.ledger)], backend: device)
    }

    /// Sets all gradients to zero.
    package func zeroGradients() {
        for parameter in parameters { parameter.zeroGradient() }
    }

    /// Does something with the values that are to be used, which a rule may have as averages of those that it trains.
    ///
    /// Trained values stand in the place of gradients meanwhile, so that they come back to the bit.
    /// - Throws: what `body` throws, and `FormatError` (`io`) when paged state cannot be read.
    package func withResult<Result>(_ body: () throws -> Result) throws -> Result {
        guard rule.averages, steps > 0 else { return try body() }
        try states.forEach { index, state in
            let parameter = parameters[index]
            parameter.gradient.base.copyMemory(
                from: parameter.value.base, byteCount: parameter.value.byteCount)
            rule.average(target(index, state))
        }
        defer {
            for parameter in parameters {
                parameter.value.base.copyMemory(
                    from: parameter.gradient.base, byteCount: parameter.value.byteCount)
            }
        }
        return try body()
    }
}
