// SPDX-License-Identifier: Apache-2.0
// What an optimizer keeps between steps, in memory or in a temporary file.
import EftFormats
import EftNN
import EftTensor

/// The states of parameters.
package protocol OptimizerState: AnyObject {
    /// Gives `body` the state of each parameter in order, in which it may change it.
    /// - Throws: `FormatError` (`io`) when it cannot be read or written, and what `body` throws.
    func forEach(_ body: (_ parameter: Int, _ state: Buffer) throws -> Void) throws
}

/// State that stands in memory, each on the device of the parameter's gradient.
package final class ResidentState: OptimizerState {
    private let buffers: [Buffer]

    /// Takes the memory, zeroed.
    /// - Throws: `TensorError` when it does not fit a ledger.
    package init(_ parameters: [Parameter], sizes: [Int]) throws {
        buffers = try zip(parameters, sizes).map { parameter, size in
            try Buffer(byteCount: size, ledger: parameter.gradient.ledger, purpose: .optimizer)
        }
    }

    package func forEach(_ body: (_ parameter: Int, _ state: Buffer) throws -> Void) throws {
        for (index, buffer) in buffers.enumerated() { try body(index, buffer) }
    }
}

/// State in a temporary file, brought to memory a parameter at a time: what bitsandbytes calls a paged optimizer.
///
/// What a step of AdamW reads and writes is 16 bytes a trainable number, little beside a pass over the weights of a model
/// whose optimizer does not fit.
package final class PagedState: OptimizerState {
    private let parameters: [Parameter]
    private let file: SpillFile
    /// Bytes of each parameter's place in the file.
    private let slots: [Int]
    private let offsets: [Int]
    /// For each device, room for the largest state.
    private var windows: [ObjectIdentifier: Buffer] = [:]

    /// Takes the memory, and the room on the disk; all state is zero.
    /// - Throws: `TensorError`, and `FormatError` (`io`) when the disk has no room.
    package init(_ parameters: [Parameter], sizes: [Int], folder: String) throws {
        self.parameters = parameters
        slots = sizes.map { roundUp($0, to: SpillFile.alignment) }
        var (offsets, end) = ([Int](), 0)
        for slot in slots {
            offsets.append(end)
            end += slot
        }
        self.offsets = offsets
        file = try SpillFile(folder: folder, byteCount: end)
        for ledger in parameters.compactMap(\.gradient.ledger)
        where windows[ObjectIdentifier(ledger)] == nil {
            let most = zip(parameters, slots).reduce(0) {
                $1.0.gradient.ledger === ledger ? max($0, $1.1) : $0
            }
            windows[ObjectIdentifier(ledger)] = try Buffer(
                byteCount: most, ledger: ledger, purpose: .optimizer, pageAligned: true)
        }
        try clear()
    }

    /// Writes zeros: a file that takes its room at once need not be read as such on every file system.
    private func clear() throws {
        for (index, slot) in slots.enumerated() {
            guard let window = window(index) else { continue }
            window.base.initializeMemory(as: UInt8.self, repeating: 0, count: slot)
            try file.write(UnsafeRawBufferPointer(memory(window, index)), at: offsets[index])
        }
    }

    private func window(_ index: Int) -> Buffer? {
        parameters[index].gradient.ledger.flatMap { windows[ObjectIdentifier($0)] }
    }

    private func memory(_ window: Buffer, _ index: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: window.base, count: slots[index])
    }

    package func forEach(_ body: (_ parameter: Int, _ state: Buffer) throws -> Void) throws {
        for index in parameters.indices {
            guard let window = window(index) else { continue }
            let memory = memory(window, index)
            try file.read(at: offsets[index], into: memory)
            try body(index, window)
            try file.write(UnsafeRawBufferPointer(memory), at: offsets[index])
        }
    }
}
