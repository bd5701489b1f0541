// SPDX-License-Identifier: Apache-2.0
// Models large enough to be read ahead hold the weights of their files, in the memory that was stated.
import EftBenchmarks
import EftFormats
import EftModels
import EftNN
import EftQuant
import EftTensor
import EftTestSupport
import Testing

@Suite struct LoadingTests {
    private static let shape = NamedShape(
        name: "medium", vocabulary: 512, hidden: 1024, intermediate: 4096, layers: 9, heads: 16,
        kvHeads: 4, headDim: 64, ropeTheta: 10000, context: 128, tied: false)

    private func isEqual(_ a: PackedWeight, _ b: PackedWeight) -> Bool {
        a.layout == b.layout
            && zip(a.recordParts, b.recordParts).allSatisfy {
                $0.bytes.elementsEqual($1.bytes)
            }
    }

    @Test(arguments: [ShapeWriter.Format.exl2(bits: 4.3), .nf4, .bf16])
    func `weights are those of the file`(_ format: ShapeWriter.Format) throws {
        let folder = try TemporaryFolder()
        let writer = try ShapeWriter(Self.shape, format: format)
        try writer.write(to: folder.path) { _, _ in }
        let model = try ModelFolder.open(folder.path)
        let checkpoint = try #require(model.checkpoint)
        let loader = try DecoderLoader(folder: model)
        let layouts = try DecoderLayouts(loader)
        let peak = try loader.loadNeed().peak(layouts.resident.devices[0])
        let ledger = MemoryLedger(limit: peak)
        let backend = try CPUBackend(ledger: ledger, threads: 2)
        let decoder = try loader.load(backend: backend)
        #expect(ledger.peak[.workspace] > ReadAheadCheckpoint.pieceBytes)
        #expect(ledger.peakTotal == peak)
        #expect(ledger.current.total == layouts.byteCount)
        let other = try CPUBackend(threads: 1)
        for linear in decoder.linears + [decoder.head] {
            let source = try LinearSource(
                module: linear.name, checkpoint: checkpoint, inputs: linear.weight.inputs,
                outputs: linear.weight.outputs)
            let weight = try source.load(as: .asStored, backend: other)
            #expect(isEqual(weight, linear.weight), "\(linear.name)")
        }
    }
}
