// SPDX-License-Identifier: Apache-2.0
// An adapter whose A and B hold those of all experts, seen as if each expert's linear layers had their own.
import EftFormats
import EftTensor

/// Shows the parts of stacked A and B under the names that adapters of linear layers have. Parts are read where they stand.
package final class StackedAdapterCheckpoint: CheckpointView {
    package let base: any CheckpointReader
    private let parts: [String: Place]
    /// The tensors that parts stand in.
    private let stacks: Set<String>

    /// A or B of one expert's linear layer.
    private struct Place {
        let info: TensorInfo
        /// Where it stands.
        let tensor: String
        let part: StackedAdapter.Part
        let experts: Int
        let rank: Int
        /// Rows of all of B.
        let outputs: Int
        let isA: Bool
    }

    /// Finds and checks the parts.
    /// - Parameter products: layer by layer, those that have adapters.
    /// - Throws: `ModelError` (`mismatch`) for tensors that are missing or have other shapes than the model asks for.
    init(_ base: any CheckpointReader, _ products: [[StackedAdapter]]) throws {
        var (parts, stacks): ([String: Place], Set<String>) = ([:], [])
        for layer in products {
            for product in layer {
                let (a, b) = try Self.tensors(product, in: base, others: layer.count > 1)
                let rows = a.shape.dims.first ?? 0
                let rank = rows / product.experts
                guard rank > 0, a.shape.dims == [rank * product.experts, product.inputs],
                    b.shape.dims == [product.outputs, rank * product.experts]
                else {
                    throw ModelError(
                        .mismatch,
                        "the adapter's tensors '\(a.name)' and '\(b.name)' have shapes \(a.shape) and \(b.shape); "
                            + "\(product.experts) experts with \(product.inputs) inputs and \(product.outputs) outputs "
                            + "have others: it was made for another base",
                        path: base.path)
                }
                stacks.formUnion([a.name, b.name])
                for part in product.parts {
                    func add(_ suffix: String, _ info: TensorInfo, _ shape: Shape, isA: Bool) throws
                    {
                        let name = AdapterFile.prefix + part.linear.name + suffix
                        parts[name] = Place(
                            info: try TensorInfo(name: name, dtype: info.dtype, shape: shape),
                            tensor: info.name, part: part, experts: product.experts, rank: rank,
                            outputs: product.outputs, isA: isA)
                    }
                    let suffixes = AdapterFile.suffixes
                    try add(suffixes.a, a, Shape(rank, part.linear.inputs), isA: true)
                    try add(suffixes.b, b, Shape(part.linear.outputs, rank), isA: false)
                }
            }
        }
        (self.base, self.parts, self.stacks) = (base, parts, stacks)
    }

    private static func tensors(
        _ product: StackedAdapter, in base: any CheckpointReader, others: Bool
    ) throws -> (a: TensorInfo, b: TensorInfo) {
        let names = product.names(hasOther: others)
        func find(_ name: String) throws -> TensorInfo {
            guard let info = base.find(AdapterFile.prefix + name) else {
                throw ModelError(
                    .missing,
                    "the adapter has no tensor '\(AdapterFile.prefix + name)' for \(product.parameter), which its "
                        + "target_parameters name",
                    path: base.path)
            }
            return info
        }
        return (try find(names.a), try find(names.b))
    }

    // MARK: CheckpointReader

    package var quantization: StoredQuantization? { base.quantization }

    package var tensors: [TensorInfo] {
        base.tensors.filter { !stacks.contains($0.name) }
            + parts.values.map(\.info).sorted { $0.name < $1.name }
    }

    package func find(_ name: String) -> TensorInfo? {
        parts[name]?.info ?? (stacks.contains(name) ? nil : base.find(name))
    }

    package func releasePages(of name: String) {
        base.releasePages(of: parts[name]?.tensor ?? name)
    }

    package func place(of name: String) -> (path: String, bytes: Range<Int>)? {
        parts[name] == nil ? base.place(of: name) : nil
    }

    package func withBytes<R>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        guard parts[name] != nil else { return try base.withBytes(of: name, body) }
        return try bytes(of: name).withUnsafeBytes(body)
    }

    package func read(
        _ name: String, bytes range: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        guard let place = parts[name] else {
            return try base.read(name, bytes: range, into: target)
        }
        precondition(target.count == range.count, "\(range.count) bytes into \(target.count)")
        if place.isA {
            let first = place.part.expert * place.info.byteCount
            return try base.read(
                place.tensor, bytes: first + range.lowerBound..<first + range.upperBound,
                into: target)
        }
        try readB(place, range, target)
    }

    /// Bytes of stored rows that are looked at together.
    private static let blockBytes = 256 << 10

    /// A part of B: of each stored row, in which a rank has the numbers of all experts, those of one expert.
    private func readB(
        _ place: Place, _ range: Range<Int>, _ target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        let width = place.info.dtype.byteWidth
        let (own, stored) = (place.rank * width, place.rank * place.experts * width)
        guard own > 0, !range.isEmpty else { return }
        var block = [UInt8](repeating: 0, count: max(Self.blockBytes / stored, 1) * stored)
        var held = 0..<0
        for output in range.lowerBound / own...(range.upperBound - 1) / own {
            let row = place.part.row(ofOutput: output)
            if !held.contains(row) {
                held = row..<min(row + block.count / stored, place.outputs)
                try block.withUnsafeMutableBufferPointer { (bytes) throws(FormatError) in
                    let part = UnsafeMutableRawBufferPointer(
                        rebasing: UnsafeMutableRawBufferPointer(bytes)[..<(held.count * stored)])
                    try base.read(
                        place.tensor, bytes: held.lowerBound * stored..<held.upperBound * stored,
                        into: part)
                }
            }
            let first = (row - held.lowerBound) * stored
            for byte in (output * own..<(output + 1) * own).clamped(to: range) {
                let (rank, part) = (byte - output * own).quotientAndRemainder(dividingBy: width)
                target[byte - range.lowerBound] =
                    block[first + (rank * place.experts + place.part.expert) * width + part]
            }
        }
    }
}
