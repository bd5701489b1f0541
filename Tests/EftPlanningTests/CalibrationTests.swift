// SPDX-License-Identifier: Apache-2.0
// A calibration is kept, read back as it was, and measured again when the file is not this machine's.
import EftFormats
import EftPlanning
import EftTensor
import EftTestSupport
import Testing

@Suite struct CalibrationTests {
    private static let machine = Calibration.Machine(
        processor: "Made-up 9000", instructionSet: "avx512", threads: 7)

    /// Round figures, different ones for each form of weights.
    private static var madeUp: Calibration {
        var products: [WeightKind: Calibration.ProductRates] = [:]
        for (index, kind) in WeightKind.all.enumerated() {
            products[kind] = Calibration.ProductRates(
                vectorBytes: 1e9 * Double(index + 1),
                product: [.f32: 2e11, .int16: 4e11 / 3, .int8: 5e11 / 3],
                transposed: [.f32: 1e11, .bf16: 3e11])
        }
        return Calibration(
            machine: machine,
            limits: MachineLimits(
                readBandwidth: 2.5e10, fmaPeak: 3e11, bf16Peak: 0, int16Peak: 7e11,
                int8Peak: 1.4e12),
            products: products,
            attention: Calibration.AttentionRates(forward: 5e10, backward: 4e10),
            operationSeconds: 2e-6,
            disks: [.max: Calibration.DiskRates(read: 2e9, write: 1.0 / 3)])
    }

    @Test func `what is kept is read back to the bit`() throws {
        let folder = try TemporaryFolder()
        let store = CalibrationStore(folder: folder.file("below/eft"))
        #expect(store.load(Self.machine) == nil)
        try store.save(Self.madeUp)
        #expect(store.load(Self.machine) == Self.madeUp)
        #expect(try FileSystem.list(store.folder) == ["machine.json"])
    }

    @Test func `a calibration of another machine counts as absent`() throws {
        let folder = try TemporaryFolder()
        let store = CalibrationStore(folder: folder.path)
        try store.save(Self.madeUp)
        var other = Self.machine
        other.threads = 8
        #expect(store.load(other) == nil)
        other = Self.machine
        other.processor = "Made-up 9001"
        #expect(store.load(other) == nil)
        other = Self.machine
        other.instructionSet = "avx2"
        #expect(store.load(other) == nil)
    }

    @Test func `a damaged file or one of another version counts as absent`() throws {
        let folder = try TemporaryFolder()
        let store = CalibrationStore(folder: folder.path)
        try store.save(Self.madeUp)
        let good = String(decoding: try FileSystem.read(store.path), as: UTF8.self)
        let edits = [
            ("\"version\": 2", "\"version\": 3"), ("\"nf4\"", "\"nf5\""), ("25000000000.0", "-1"),
            ("25000000000.0", "0"), ("\"18446744073709551615\"", "\"a\""), ("}", "]"),
            ("\"threads\": 7", "\"threads\": \"7\""),
        ]
        for (old, new) in edits {
            #expect(good.contains(old), "\(old)")
            try AtomicFile.write(store.path, good.replacing(old, with: new))
            #expect(store.load(Self.machine) == nil, "\(old)")
        }
        for length in stride(from: 0, to: good.utf8.count - 2, by: 97) {
            try AtomicFile.write(store.path, Array(good.utf8.prefix(length)))
            #expect(store.load(Self.machine) == nil, "\(length) bytes")
        }
    }

    @Test func `this machine is measured once`() throws {
        let folder = try TemporaryFolder()
        let backend = try CPUBackend(threads: 2)
        var store = CalibrationStore(folder: folder.path)
        store.probe.byteCount = 1 << 20
        store.probe.margin = 0
        var told: [String] = []
        let first = try store.calibration(backend, folders: [folder.path]) { told.append($0) }
        #expect(told.contains("products with exl2-3 weights") && told.count > WeightKind.all.count)
        #expect(first.machine == Calibration.Machine(backend))
        #expect(first.disk(of: folder.file("not/there/yet")) != nil)
        #expect(first.limits.readBandwidth > 0 && first.limits.fmaPeak > 0)
        for kind in WeightKind.all {
            let rates = try #require(first.products[kind])
            #expect(rates.vectorBytes > 0)
            for precision in ActivationPrecision.allCases {
                #expect(rates.operations(precision, backward: false) > 0)
                #expect(rates.operations(precision, backward: true) > 0)
            }
        }
        let second = try store.calibration(backend, folders: [folder.path]) { _ in
            Issue.record("measured again")
        }
        #expect(second == first)
        #expect(try FileSystem.list(folder.path) == ["machine.json"])
    }

    @Test func `a disk without room or right to write has no rates`() throws {
        let folder = try TemporaryFolder()
        var probe = DiskProbe()
        probe.byteCount = 100_000
        probe.margin = 10
        probe.freeBytes = { _ in 100_009 }
        #expect(probe.measure(folder.path) == nil)
        probe.freeBytes = { _ in 100_010 }
        let rates = try #require(probe.measure(folder.path))
        #expect(rates.read > 0 && rates.write > 0)
        probe.freeBytes = { _ in nil }
        #expect(probe.measure(folder.file("not/there")) != nil)
        // Another process that measures holds the lock of the file.
        let other = try OutputFile(path: folder.file(".eft-disk-probe"))
        #expect(probe.measure(folder.path) == nil)
        withExtendedLifetime(other) {}
        #expect(DiskProbe.device(of: folder.path) == DiskProbe.device(of: folder.file("a/b")))
    }
}
