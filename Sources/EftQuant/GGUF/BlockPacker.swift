// SPDX-License-Identifier: Apache-2.0
// Blocks of 32 numbers that are codes times a scale, as coded panels of the same values.
import CEftKernels
import EftGGUF
import EftTensor

/// Packs rows of blocks into the panels of a weight.
struct BlockPacker: @unchecked Sendable {
    private let type: GGUFTensorType
    private let bits: Int
    private let rowBytes: Int
    private let weight: PackedWeight

    /// The width of signed codes that hold a type, whose blocks have 32 numbers and a half-precision scale; nil for others.
    static func bits(of type: GGUFTensorType) -> Int? {
        switch type {
        case .q4_0: 4
        case .q5_0: 5
        case .q8_0: 8
        default: nil
        }
    }

    init(type: GGUFTensorType, bits: Int, rowBytes: Int, weight: PackedWeight) {
        self.type = type
        self.bits = bits
        self.rowBytes = rowBytes
        self.weight = weight
    }

    /// Packs rows, the first a multiple of 16, on all workers.
    /// - Returns: false when a scale is infinite or NaN.
    func pack(
        _ source: UnsafeRawBufferPointer, rows: Range<Int>, backend: CPUBackend
    ) -> Bool {
        let panels = (rows.count + 15) / 16
        var isFinite = [Bool](repeating: false, count: panels)
        isFinite.withUnsafeMutableBufferPointer { finite in
            guard let results = finite.baseAddress, let base = source.baseAddress else { return }
            let job = PackJob(packer: self, source: base, rows: rows, results: results)
            withUnsafePointer(to: job) { job in
                eft_parallel_for(
                    backend.context, panels,
                    { argument, index, _ in
                        guard let job = argument?.assumingMemoryBound(to: PackJob.self).pointee
                        else { return }
                        job.results[index] = job.packer.packPanel(job, index)
                    }, UnsafeMutableRawPointer(mutating: job))
            }
        }
        return isFinite.allSatisfy(\.self)
    }

    /// Packs up to 16 rows.
    fileprivate func packPanel(_ job: PackJob, _ index: Int) -> Bool {
        let groups = weight.layout.groupCount
        let panel = job.rows.lowerBound / 16 + index
        let lanes = min(job.rows.count - index * 16, 16)
        let words = (weight.panels.base + panel * weight.layout.panelBytes)
            .assumingMemoryBound(to: UInt32.self)
        let scales = weight.scales.base + panel * groups * 32
        var isFinite = true
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 512) { codes in
            guard let first = codes.baseAddress else { return }
            for group in 0..<groups {
                // What lies beyond the outputs is zero.
                codes.update(repeating: UInt8(1 << (bits - 1)))
                let halves = (scales + group * 32).assumingMemoryBound(to: UInt16.self)
                halves.update(repeating: 0, count: 16)
                for lane in 0..<lanes {
                    let block =
                        job.source + (index * 16 + lane) * rowBytes + group * type.blockBytes
                    let scale = UInt16(
                        littleEndian: block.loadUnaligned(as: UInt16.self))
                    halves[lane] = scale
                    if scale & 0x7C00 == 0x7C00 { isFinite = false }
                    readCodes(block + 2, first + lane)
                }
                eft_codes_pack(UInt32(bits), first, words + group * bits * 16)
            }
        }
        return isFinite
    }

    /// The codes of a block, 16 places apart.
    private func readCodes(_ bytes: UnsafeRawPointer, _ codes: UnsafeMutablePointer<UInt8>) {
        func byte(_ index: Int) -> UInt8 { bytes.load(fromByteOffset: index, as: UInt8.self) }
        switch bits {
        case 8: for i in 0..<32 { codes[i * 16] = byte(i) &+ 128 }
        case 5:
            let high = UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self))
            for i in 0..<16 {
                let four = byte(4 + i)
                codes[i * 16] = four & 15 | UInt8(high >> UInt32(i) & 1) << 4
                codes[(i + 16) * 16] = four >> 4 | UInt8(high >> UInt32(i + 16) & 1) << 4
            }
        default:
            for i in 0..<16 {
                let four = byte(i)
                codes[i * 16] = four & 15
                codes[(i + 16) * 16] = four >> 4
            }
        }
    }
}

/// What a worker needs to pack a panel.
private struct PackJob {
    let packer: BlockPacker
    let source: UnsafeRawPointer
    let rows: Range<Int>
    let results: UnsafeMutablePointer<Bool>
}
