// SPDX-License-Identifier: Apache-2.0
// Ten steps of each optimizer against the packages that have it.
import EftConfig
import EftFormats
import EftModels
import EftNN
import EftTensor
import EftTestSupport
import EftTraining
import Testing

@Suite struct OptimizerGoldenTests {
    /// An optimizer and what it makes of parameters: see scripts/fixtures/optimizers.py.
    struct Case: CustomTestStringConvertible, Sendable {
        let name: String
        let keys: String
        let shapes: [[Int]]
        var testDescription: String { name }
    }

    private static let document = try? ConfigFile.read(Fixtures.path("optimizers/cases.json"))

    static let cases: [Case] = {
        let elements = (try? document?.required("cases").elements()) ?? []
        return elements.compactMap { element in
            guard let name = try? element.required("name").string(),
                let keys = try? element.required("keys").string(),
                let shapes = try? element.required("shapes").elements()
            else { return nil }
            let extents = shapes.compactMap { shape in
                try? shape.elements().map { try $0.int() }
            }
            return Case(name: name, keys: keys, shapes: extents)
        }
    }()

    private static func numbers(_ count: Int, seed: Int, uneven: Bool) -> [Float] {
        let scales = [1, 0.1, 0.01, 0.001]
        return (0..<count).map { index in
            let value = Double((index * 7919 + seed * 104729) % 2003 - 1001) / 1001
            return Float(uneven ? value * scales[index % 4] : value)
        }
    }

    private static func settings(_ keys: String, output: String) throws -> TrainingSettings {
        let text = """
            base_model: b
            datasets: [{path: d, type: completion}]
            learning_rate: 0.01
            weight_decay: 0.1
            max_grad_norm: 0
            output_dir: \(output)
            \(keys)
            """
        let document = try ConfigCursor(YAMLParser.parse(text, file: "c"), file: "c")
        return try AxolotlConfig(document).training
    }

    /// The parameters of a case, with their start values, matrices row-major or in panels.
    private static func parameters(
        _ shapes: [[Int]], inPanels: Bool, _ backend: CPUBackend
    ) throws -> [Parameter] {
        try shapes.enumerated().map { place, extents in
            let shape: ParameterShape =
                switch extents.count {
                case 1: .vector(extents[0])
                default:
                    inPanels
                        ? .panels(outputs: extents[0], inputs: extents[1])
                        : .matrix(rows: extents[0], columns: extents[1])
                }
            let parameter = try Parameter(
                name: "p\(place).weight",
                value: Buffer(
                    byteCount: shape.storedCount * 4, ledger: backend.ledger, purpose: .adapters),
                shape: shape, decays: true, ledger: backend.ledger)
            fill(parameter.value, shape, numbers(shape.numbers, seed: 0, uneven: false))
            return parameter
        }
    }

    /// Where number `index` of a tensor in rows stands.
    private static func place(_ index: Int, _ shape: ParameterShape) -> Int {
        guard shape.order == .panels else { return index }
        let (row, column) = (index / shape.columns, index % shape.columns)
        return (row / 16 * roundUp(shape.columns, to: 32) + column) * 16 + row % 16
    }

    private static func fill(_ buffer: Buffer, _ shape: ParameterShape, _ numbers: [Float]) {
        for (index, number) in numbers.enumerated() { buffer.floats[place(index, shape)] = number }
    }

    private static func read(_ buffer: Buffer, _ shape: ParameterShape) -> [Float] {
        (0..<shape.numbers).map { buffer.floats[place($0, shape)] }
    }

    private static func makeSteps(_ optimizer: Optimizer, _ range: Range<Int>) throws {
        for step in range {
            optimizer.zeroGradients()
            for (place, parameter) in optimizer.parameters.enumerated() {
                let seed = 1 + step * 31 + place
                fill(
                    parameter.gradient, parameter.shape,
                    numbers(parameter.shape.numbers, seed: seed, uneven: true))
            }
            try optimizer.step(learningRate: 0.01 * (1 - Double(step) / 20), warmup: 4)
        }
    }

    /// Compares numbers with a tolerance relative to the largest of them.
    private static func expectNear(
        _ found: [Float], _ expected: [Float], _ what: String, tolerance: Float = 1e-4
    ) {
        let scale = expected.reduce(1e-30) { max($0, abs($1)) }
        let error = zip(found, expected).reduce(0) { max($0, abs($1.0 - $1.1)) }
        #expect(found.count == expected.count && error <= tolerance * scale, "\(what): \(error)")
    }

    @Test func `there are cases`() { #expect(Self.cases.count == 27) }

    @Test(arguments: cases, [false, true])
    func `ten steps are those of the package`(_ golden: Case, _ inPanels: Bool) throws {
        // Blocks of codes are blocks of memory, which in panels holds other numbers side by side.
        guard !inPanels || !golden.name.contains("8bit") else { return }
        let folder = try TemporaryFolder()
        let backend = try CPUBackend(threads: 2)
        let settings = try Self.settings(golden.keys, output: folder.path)
        let parameters = try Self.parameters(golden.shapes, inPanels: inPanels, backend)
        let optimizer = try Optimizer(
            parameters: parameters, settings: settings, devices: [backend])
        try Self.makeSteps(optimizer, 0..<10)
        let results = try CheckpointFolder.open(Fixtures.path("optimizers/results.safetensors"))
        for (place, parameter) in parameters.enumerated() {
            let expected = try results.floats(of: "\(golden.name).\(place)")
            let found = Self.read(parameter.value, parameter.shape)
            Self.expectNear(found, expected, "\(golden.name) \(parameter.shape)")
        }
        guard results.find("\(golden.name).result.0") != nil else { return }
        let trained = parameters.map { Self.read($0.value, $0.shape) }
        try optimizer.withResult {
            for (place, parameter) in parameters.enumerated() {
                let expected = try results.floats(of: "\(golden.name).result.\(place)")
                Self.expectNear(
                    Self.read(parameter.value, parameter.shape), expected, "result \(place)")
            }
        }
        #expect(parameters.map { Self.read($0.value, $0.shape) } == trained)
    }

    @Test(arguments: cases.filter { $0.name.contains("8bit") })
    func `codes are those of bitsandbytes`(_ golden: Case) throws {
        let folder = try TemporaryFolder()
        let backend = try CPUBackend(threads: 2)
        let settings = try Self.settings(golden.keys, output: folder.path)
        let parameters = try Self.parameters(golden.shapes, inPanels: false, backend)
        let optimizer = try Optimizer(
            parameters: parameters, settings: settings, devices: [backend])
        try Self.makeSteps(optimizer, 0..<10)
        let results = try CheckpointFolder.open(Fixtures.path("optimizers/results.safetensors"))
        var compared = 0
        try optimizer.states.forEach { place, state in
            let name = "\(golden.name).codes.\(place)"
            guard results.find(name) != nil else { return }
            let runs = optimizer.layouts[place].runs
            let scales = try #require(runs.first)
            let codes = try #require(runs.first { $0.dtype == .u8 })
            let expected = try results.bytes(of: name)
            let found = UnsafeRawBufferPointer(
                start: state.base + codes.offset, count: codes.count)
            // A number next to the middle of two entries may fall to either side.
            let others = zip(found, expected).reduce(0) { $0 + ($1.0 == $1.1 ? 0 : 1) }
            #expect(others * 500 <= codes.count, "\(others) of \(codes.count)")
            let magnitudes = Matrix(
                sharing: state, offset: scales.offset / 4, rows: 1, columns: scales.count)
            Self.expectNear(
                (0..<magnitudes.count).map { magnitudes.pointer[$0] },
                try results.floats(of: "\(golden.name).absmax.\(place)"), "absmax")
            compared += 1
        }
        #expect(compared == 2)
    }

    @Test(arguments: cases)
    func `state on the disk, and state that was saved, change no number`(_ golden: Case) throws {
        let folder = try TemporaryFolder()
        let backend = try CPUBackend(ledger: MemoryLedger(), threads: 1)
        let settings = try Self.settings(golden.keys, output: folder.path)
        func optimizer(paged: Bool) throws -> Optimizer {
            let parameters = try Self.parameters(golden.shapes, inPanels: true, backend)
            return try Optimizer(
                parameters: parameters, settings: settings, devices: [backend], isPaged: paged)
        }
        let (whole, first, second) = try (
            optimizer(paged: false), optimizer(paged: true), optimizer(paged: false)
        )
        try Self.makeSteps(whole, 0..<6)
        try Self.makeSteps(first, 0..<3)
        let checkpoint = folder.file("saved")
        try FileSystem.createFolder(checkpoint)
        try TrainingCheckpoint.save(
            first, state: .init(step: 3, totalSteps: 6, fingerprint: ""), to: checkpoint)
        try TrainingCheckpoint.restore(second, from: checkpoint)
        try Self.makeSteps(second, 3..<6)
        for (a, b) in zip(whole.parameters, second.parameters) {
            #expect(Self.read(a.value, a.shape) == Self.read(b.value, b.shape))
        }
    }

    @Test func `a checkpoint of another optimizer is refused by name`() throws {
        let folder = try TemporaryFolder()
        let backend = try CPUBackend(threads: 1)
        func optimizer(_ name: String) throws -> Optimizer {
            try Optimizer(
                parameters: Self.parameters([[3, 5]], inPanels: false, backend),
                settings: Self.settings("optimizer: \(name)", output: folder.path),
                devices: [backend])
        }
        let lion = try optimizer("lion_8bit")
        try TrainingCheckpoint.save(
            lion, state: .init(step: 0, totalSteps: 1, fingerprint: ""), to: folder.path)
        try TrainingCheckpoint.restore(optimizer("paged_lion_8bit"), from: folder.path)
        let error = try #require(throws: TrainingError.self) {
            try TrainingCheckpoint.restore(optimizer("adamw_torch"), from: folder.path)
        }
        #expect(error.code == .checkpoint)
        #expect(error.message.contains("lion_8bit, not adamw"))
    }

    @Test(arguments: cases)
    func `memory is what was stated`(_ golden: Case) throws {
        let folder = try TemporaryFolder()
        let backend = try CPUBackend(ledger: MemoryLedger(), threads: 2)
        let settings = try Self.settings(golden.keys, output: folder.path)
        let need = try settings.optimizer.rule().need(isPaged: false)
        let parameters = try Self.parameters(golden.shapes, inPanels: true, backend)
        let shapes = parameters.map { settings.optimizer.shape(of: $0) }
        let before = backend.ledger.peakTotal
        let optimizer = try Optimizer(
            parameters: parameters, settings: settings, devices: [backend])
        try Self.makeSteps(optimizer, 0..<1)
        let stated = TrainedBytes(shapes, need, backend)
        #expect(
            backend.ledger.peakTotal - before
                == stated.table(isPaged: false)[.optimizer] + stated.products)
    }
}
