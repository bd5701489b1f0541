// SPDX-License-Identifier: Apache-2.0
// A weight matrix in the form that the kernels multiply.
import CEftKernels

/// A weight matrix of K inputs by N outputs in panels of 16 outputs, owning its memory or bound to a record in a window.
///
/// One that owns its memory is filled once by a loader and read-only afterwards, but for full training, where the
/// optimizer updates f32 panels between steps. A streamed one is bound before its layer computes, and by the thread
/// that computes; hence the unchecked conformance.
package final class PackedWeight: @unchecked Sendable {
    /// Sizes and formats.
    package let layout: WeightLayout
    /// All panels, one after the other.
    package let panels: Buffer
    /// Scales `[panel][group][16]` of coded weights, or records of several groups; empty for dense ones.
    package let scales: Buffer
    /// For coded weights `groups`, then the permutation when there is one.
    let tables: Buffer
    /// Whether the weight owns no memory and is bound to records that somebody else holds.
    package let isStreamed: Bool
    private var bound: eft_weight?

    /// The descriptor that kernels take; its pointers live as long as this object, or until the next binding.
    package var descriptor: eft_weight {
        guard let bound else {
            preconditionFailure("a streamed weight is used while its layer is not in the window")
        }
        return bound
    }

    /// K.
    package var inputs: Int { layout.inputs }
    /// N.
    package var outputs: Int { layout.outputs }

    /// Allocates an empty weight.
    /// - Parameters:
    ///   - layout: what to hold.
    ///   - permutation: for permuted layouts, the input that each stored row multiplies, `inputs` entries.
    ///   - purpose: the ledger's row.
    ///   - workers: bring in the memory together.
    /// - Throws: `TensorError` when it does not fit the ledger.
    package init(
        layout: WeightLayout, permutation: [UInt32] = [], ledger: MemoryLedger?,
        purpose: MemoryPurpose = .weights, workers: CPUBackend? = nil
    ) throws(TensorError) {
        self.layout = layout
        isStreamed = false
        panels = try Buffer(
            byteCount: layout.panels * layout.panelBytes, ledger: ledger, purpose: purpose,
            workers: workers)
        scales = try Buffer(byteCount: layout.scaleBytes, ledger: ledger, purpose: purpose)
        tables = try Buffer(byteCount: layout.tableBytes, ledger: ledger, purpose: purpose)
        var descriptor = layout.descriptor
        descriptor.panels = UnsafeRawPointer(panels.base)
        if case .coded(_, _, let groups, let permuted) = layout.format {
            precondition(permutation.count == (permuted ? layout.inputs : 0))
            let table = tables.base.assumingMemoryBound(to: eft_group.self)
            for (index, group) in layout.kernelGroups.enumerated() { table[index] = group }
            descriptor.scales = UnsafeRawPointer(scales.base)
            descriptor.groups = UnsafePointer(table)
            if permuted {
                let rows = UnsafeMutableRawPointer(table + groups.count)
                    .assumingMemoryBound(to: UInt32.self)
                for row in 0..<layout.blocks * 32 {
                    rows[row] = row < permutation.count ? permutation[row] : .max
                }
                descriptor.permutation = UnsafePointer(rows)
            }
        }
        bound = descriptor
    }

    /// Makes a weight that owns no memory and cannot be used before `bind`.
    /// - Throws: `TensorError` when the machine has no memory left.
    package init(streamed layout: WeightLayout) throws(TensorError) {
        self.layout = layout
        isStreamed = true
        panels = try Buffer(byteCount: 0, ledger: nil, purpose: .window)
        scales = panels
        tables = panels
    }

    /// Binds a streamed weight to its record, aligned to 64 bytes; nil takes the binding back.
    package func bind(_ record: UnsafeRawPointer?) {
        precondition(isStreamed, "a weight that owns its memory is bound for good")
        guard let record else {
            bound = nil
            return
        }
        let places = WeightRecord(layout)
        var descriptor = layout.descriptor
        descriptor.panels = record + places.panels.lowerBound
        if case .coded(_, _, let groups, let permuted) = layout.format {
            let table = (record + places.tables.lowerBound).assumingMemoryBound(to: eft_group.self)
            descriptor.scales = record + places.scales.lowerBound
            descriptor.groups = table
            if permuted {
                descriptor.permutation = UnsafeRawPointer(table + groups.count)
                    .assumingMemoryBound(to: UInt32.self)
            }
        }
        bound = descriptor
    }
}

extension WeightLayout {
    /// The kernels' group table; empty for dense formats.
    var kernelGroups: [eft_group] {
        guard case .coded(_, _, let groups, _) = format else { return [] }
        var (block, row) = (0, 0)
        return groups.map { group in
            defer {
                block += group.blocks
                row += group.blocks * group.bits
            }
            return eft_group(
                first_block: UInt32(block), blocks: UInt32(group.blocks), bits: UInt32(group.bits),
                row_offset: UInt32(row))
        }
    }

    /// Gives `body` a description with its group table and without weights; enough to ask for workspace sizes.
    func withDescriptor<R>(_ body: (UnsafePointer<eft_weight>) -> R) -> R {
        kernelGroups.withUnsafeBufferPointer { groups in
            var weight = descriptor
            weight.groups = groups.baseAddress
            return withUnsafePointer(to: weight, body)
        }
    }

    /// The kernels' description of this layout, without any memory.
    var descriptor: eft_weight {
        var weight = eft_weight()
        weight.inputs = inputs
        weight.outputs = outputs
        weight.blocks = blocks
        weight.panel_bytes = panelBytes
        switch format {
        case .f32: weight.kind = EFT_WEIGHT_F32
        case .f16: weight.kind = EFT_WEIGHT_F16
        case .bf16: weight.kind = EFT_WEIGHT_BF16
        case .coded(let book, let scales, let groups, _):
            weight.kind = EFT_WEIGHT_CODED
            weight.code_book =
                switch book {
                case .signed: EFT_CODES_SIGNED
                case .nf4: EFT_CODES_NF4
                case .e4m3: EFT_CODES_E4M3
                case .e2m1: EFT_CODES_E2M1
                case .fp4: EFT_CODES_FP4
                }
            weight.scale_type = scales.kernelValue
            weight.group_count = groups.count
        }
        return weight
    }
}
