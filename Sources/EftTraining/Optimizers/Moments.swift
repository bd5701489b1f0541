// SPDX-License-Identifier: Apache-2.0
// The optimizer's running means, in memory or in a temporary file.
import EftFormats
import EftNN
import EftTensor

/// First and second moments of parameters.
package protocol Moments: AnyObject {
    /// Gives `body` the moments of each parameter in order, in which it may change them.
    /// - Throws: `FormatError` (`io`) when they cannot be read or written, and what `body` throws.
    func forEach(
        _ body: (_ parameter: Int, _ first: Buffer, _ second: Buffer) throws -> Void) throws
}

/// Moments that stand in memory, each on the device of the parameter's gradient.
package final class ResidentMoments: Moments {
    private let pairs: [(first: Buffer, second: Buffer)]

    /// Takes the memory, zeroed.
    /// - Throws: `TensorError` when it does not fit a ledger.
    package init(_ parameters: [Parameter]) throws {
        pairs = try parameters.map { parameter in
            let (bytes, ledger) = (parameter.value.byteCount, parameter.gradient.ledger)
            return (
                try Buffer(byteCount: bytes, ledger: ledger, purpose: .optimizer),
                try Buffer(byteCount: bytes, ledger: ledger, purpose: .optimizer)
            )
        }
    }

    package func forEach(
        _ body: (_ parameter: Int, _ first: Buffer, _ second: Buffer) throws -> Void
    ) throws {
        for (index, pair) in pairs.enumerated() { try body(index, pair.first, pair.second) }
    }
}

/// Moments in a temporary file, brought to memory a parameter at a time: what bitsandbytes calls a paged optimizer.
///
/// What a step reads and writes is 16 bytes a trainable number, little beside a pass over the weights of a model whose
/// optimizer does not fit.
package final class PagedMoments: Moments {
    private let parameters: [Parameter]
    private let file: SpillFile
    private let offsets: [Int]
    /// For each device, the pair of the largest parameter.
    private var windows: [ObjectIdentifier: (first: Buffer, second: Buffer)] = [:]

    private static func slotBytes(_ parameterBytes: Int) -> Int {
        roundUp(parameterBytes, to: SpillFile.alignment)
    }

    /// Takes the memory, and the room on the disk; all moments are zero.
    /// - Throws: `TensorError`, and `FormatError` (`io`) when the disk has no room.
    package init(_ parameters: [Parameter], folder: String) throws {
        self.parameters = parameters
        var (offsets, end) = ([Int](), 0)
        for parameter in parameters {
            offsets.append(end)
            end += 2 * PagedMoments.slotBytes(parameter.value.byteCount)
        }
        self.offsets = offsets
        file = try SpillFile(folder: folder, byteCount: end)
        for ledger in parameters.compactMap(\.gradient.ledger)
        where windows[ObjectIdentifier(ledger)] == nil {
            let most = parameters.reduce(0) {
                $1.gradient.ledger === ledger ? max($0, $1.value.byteCount) : $0
            }
            func window() throws(TensorError) -> Buffer {
                try Buffer(
                    byteCount: PagedMoments.slotBytes(most), ledger: ledger, purpose: .optimizer,
                    pageAligned: true)
            }
            windows[ObjectIdentifier(ledger)] = (try window(), try window())
        }
        try clear()
    }

    /// Writes zeros: a file that takes its room at once need not be read as such on every file system.
    private func clear() throws {
        for (index, parameter) in parameters.enumerated() {
            guard let (first, second) = window(parameter) else { continue }
            first.floats.update(repeating: 0, count: first.floatCount)
            second.floats.update(repeating: 0, count: second.floatCount)
            try transfer(index, first, second, writing: true)
        }
    }

    private func window(_ parameter: Parameter) -> (first: Buffer, second: Buffer)? {
        parameter.gradient.ledger.flatMap { windows[ObjectIdentifier($0)] }
    }

    private func transfer(
        _ index: Int, _ first: Buffer, _ second: Buffer, writing: Bool
    ) throws {
        let bytes = PagedMoments.slotBytes(parameters[index].value.byteCount)
        for (place, buffer) in [first, second].enumerated() {
            let memory = UnsafeMutableRawBufferPointer(start: buffer.base, count: bytes)
            let offset = offsets[index] + place * bytes
            if writing {
                try file.write(UnsafeRawBufferPointer(memory), at: offset)
            } else {
                try file.read(at: offset, into: memory)
            }
        }
    }

    package func forEach(
        _ body: (_ parameter: Int, _ first: Buffer, _ second: Buffer) throws -> Void
    ) throws {
        for (index, parameter) in parameters.enumerated() {
            guard let (first, second) = window(parameter) else { continue }
            try transfer(index, first, second, writing: false)
            try body(index, first, second)
            try transfer(index, first, second, writing: true)
        }
    }
}
