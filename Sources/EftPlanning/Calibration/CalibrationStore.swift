// SPDX-License-Identifier: Apache-2.0
// The calibration of this machine, kept in a file so that it is measured once.
import EftConfig
import EftFormats
import EftTensor

/// Keeps a machine's calibration in `machine.json` of a folder.
///
/// A file that is damaged, or of another machine or version, counts as absent and is written anew; one that cannot be
/// written costs the next command a few seconds, and is no error.
package struct CalibrationStore: Sendable {
    /// Raised when kernels, or what is measured, change so that old figures mislead.
    package static let version = 2
    /// The name of the file.
    package static let fileName = "machine.json"

    /// The folder; that of caches, `CacheFolder.standard()`, outside tests.
    package let folder: String
    /// Measures disks.
    package var probe = DiskProbe()

    /// Names the folder.
    package init(folder: String) { self.folder = folder }

    /// The file.
    package var path: String { FileSystem.join(folder, CalibrationStore.fileName) }

    /// The kept calibration of a machine; nil when there is none.
    package func load(_ machine: Calibration.Machine) -> Calibration? {
        guard let bytes = try? FileSystem.read(path, limit: 1 << 20),
            let cursor = try? ConfigCursor(JSONParser.parse(bytes)),
            let found = try? Calibration(cursor), found.machine == machine
        else { return nil }
        return found
    }

    /// Keeps a calibration.
    /// - Throws: `FormatError` (`io`).
    package func save(_ calibration: Calibration) throws {
        try FileSystem.createFolder(folder)
        let text = JSONWriter.text(calibration.node, layout: .indented(1)) + "\n"
        try AtomicFile.write(path, text)
    }

    /// The calibration of this machine with the disks of some folders: the kept one, and what it lacks measured now.
    /// - Parameters:
    ///   - backend: whose workers and level count.
    ///   - folders: whose disks are to be known; those that cannot be measured stay unknown.
    ///   - progress: called with what is measured next, unless all is known.
    /// - Throws: `TensorError` when there is no memory to measure with, and what `progress` throws.
    package func calibration(
        _ backend: CPUBackend, folders: [String] = [],
        progress: @escaping Calibrator.Progress = { _ in }
    ) throws -> Calibration {
        let kept = load(Calibration.Machine(backend))
        var calibration = try kept ?? Calibrator(backend, progress: progress).measure()
        for folder in folders {
            guard let device = DiskProbe.device(of: folder), calibration.disks[device] == nil else {
                continue
            }
            try progress("the disk of \(folder)")
            calibration.disks[device] = probe.measure(folder)
        }
        if calibration != kept { try? save(calibration) }
        return calibration
    }
}

// MARK: The file's form

extension Calibration {
    /// The calibration as an object.
    var node: ConfigNode {
        let rates = WeightKind.all.compactMap { kind in
            products[kind].map { (kind.name, $0.node) }
        }
        let disks = disks.sorted { $0.key < $1.key }.map { device, rates in
            [
                "device": ConfigNode(String(device)), "read": ConfigNode(rates.read),
                "write": ConfigNode(rates.write),
            ] as ConfigNode
        }
        return [
            "version": ConfigNode(CalibrationStore.version),
            "processor": ConfigNode(machine.processor),
            "instruction_set": ConfigNode(machine.instructionSet),
            "threads": ConfigNode(machine.threads),
            "memory_read": ConfigNode(limits.readBandwidth),
            "fma": ConfigNode(limits.fmaPeak), "bf16": ConfigNode(limits.bf16Peak),
            "int16": ConfigNode(limits.int16Peak), "int8": ConfigNode(limits.int8Peak),
            "products": object(rates),
            "attention": [
                "forward": ConfigNode(attention.forward),
                "backward": ConfigNode(attention.backward),
            ],
            "operation": ConfigNode(operationSeconds),
            "disks": ConfigNode(.array(disks)),
        ]
    }

    /// Reads the object that `node` makes.
    /// - Throws: `ConfigError` when anything is missing, wrong, or of another version.
    init(_ file: ConfigCursor) throws(ConfigError) {
        let version = CalibrationStore.version
        _ = try file.required("version").int(in: version...version)
        let machine = Machine(
            processor: try file.required("processor").string(),
            instructionSet: try file.required("instruction_set").string(),
            threads: try file.required("threads").int(in: 1...Int.max))
        let limits = MachineLimits(
            readBandwidth: try file.rate("memory_read"), fmaPeak: try file.rate("fma"),
            bf16Peak: try file.required("bf16").double(in: 0...1e30),
            int16Peak: try file.required("int16").double(in: 0...1e30),
            int8Peak: try file.required("int8").double(in: 0...1e30))
        let table = try file.required("products")
        var products: [WeightKind: ProductRates] = [:]
        for kind in WeightKind.all { products[kind] = try ProductRates(table.required(kind.name)) }
        let attention = try file.required("attention")
        self.init(
            machine: machine, limits: limits, products: products,
            attention: AttentionRates(
                forward: try attention.rate("forward"), backward: try attention.rate("backward")),
            operationSeconds: try file.rate("operation"))
        for disk in try file.required("disks").elements() {
            let device = try disk.required("device")
            guard let number = UInt64(try device.string()) else {
                throw device.error(.wrongType, "is no number of a device")
            }
            disks[number] = DiskRates(read: try disk.rate("read"), write: try disk.rate("write"))
        }
    }
}

extension Calibration.ProductRates {
    fileprivate var node: ConfigNode {
        func rates(_ rates: [ActivationPrecision: Double]) -> ConfigNode {
            object(
                ActivationPrecision.allCases.compactMap { precision in
                    rates[precision].map { (precision.rawValue, ConfigNode($0)) }
                })
        }
        return [
            "vector_bytes": ConfigNode(vectorBytes), "product": rates(product),
            "transposed": rates(transposed),
        ]
    }

    fileprivate init(_ file: ConfigCursor) throws(ConfigError) {
        func rates(_ key: String) throws(ConfigError) -> [ActivationPrecision: Double] {
            let table = try file.required(key)
            var rates: [ActivationPrecision: Double] = [:]
            for precision in ActivationPrecision.allCases {
                // Those that make no difference are not measured; f32 always is.
                let isMeasured = try table.optional(precision.rawValue) != nil
                guard isMeasured || precision == .f32 else { continue }
                rates[precision] = try table.rate(precision.rawValue)
            }
            return rates
        }
        self.init(
            vectorBytes: try file.rate("vector_bytes"), product: try rates("product"),
            transposed: try rates("transposed"))
    }
}

private func object(_ entries: [(String, ConfigNode)]) -> ConfigNode {
    var object = ConfigObject()
    for (key, node) in entries { object[key] = node }
    return ConfigNode(object)
}

extension ConfigCursor {
    /// A number by which is divided.
    fileprivate func rate(_ key: String) throws(ConfigError) -> Double {
        try required(key).double(in: Double.leastNormalMagnitude...1e30)
    }
}
