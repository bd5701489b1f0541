// SPDX-License-Identifier: Apache-2.0
// The inputs of layers, kept for the backward pass in memory or in a temporary file.
import EftFormats
import EftNN
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// The inputs of a part's layers for each micro-batch of a pass.
///
/// In a file they pass through a small window: a thread writes behind the forward pass and reads ahead of the backward
/// pass, in the order in which both go.
final class KeptInputs: Sendable {
    /// Inputs in the window: one in use, one under way, one waiting.
    private static let windowSlots = 3

    private let layers: Range<Int>
    private let joined: Int
    private let columns: Int
    private let slotBytes: Int
    /// A slot for each layer and micro-batch, or the window.
    private let buffer: Buffer
    private let spill: SpillWindow?
    private let thread: WorkerThread?

    /// Bytes of one input, a multiple of what direct transfers ask for.
    static func slotBytes(rows: Int, hidden: Int) -> Int {
        roundUp(rows * hidden * 4, to: SpillFile.alignment)
    }

    /// Bytes in memory on the device of a part.
    static func byteCount(_ need: TrainingNeed, part: DecoderPart, hidden: Int) -> Int {
        let slots =
            need.checkpointing == .disk ? windowSlots : part.layers.count * need.joined
        return slots
            * (need.checkpointing == .disk
                ? slotBytes(rows: need.rows, hidden: hidden) : need.rows * hidden * 4)
    }

    /// Takes the memory, and the room on the disk.
    /// - Parameter folder: where the temporary file is made.
    /// - Throws: `TensorError`, and `FormatError` (`io`) when the disk has no room.
    init(
        _ need: TrainingNeed, part: DecoderPart, hidden: Int, folder: String?,
        ledger: MemoryLedger?
    ) throws {
        layers = part.layers
        joined = need.joined
        columns = hidden
        let onDisk = need.checkpointing == .disk
        slotBytes =
            onDisk
            ? KeptInputs.slotBytes(rows: need.rows, hidden: hidden) : need.rows * hidden * 4
        buffer = try Buffer(
            byteCount: KeptInputs.byteCount(need, part: part, hidden: hidden), ledger: ledger,
            purpose: .activations, pageAligned: onDisk)
        guard onDisk else {
            (spill, thread) = (nil, nil)
            return
        }
        let file = try SpillFile(
            folder: folder ?? ".", byteCount: layers.count * joined * slotBytes)
        let spill = SpillWindow(
            file, buffer: buffer, slots: KeptInputs.windowSlots, slotBytes: slotBytes)
        self.spill = spill
        thread = try WorkerThread { spill.run() }
    }

    deinit {
        spill?.stop()
        thread?.join()
    }

    private func place(_ layer: Int, _ micro: Int) -> Int {
        (layer - layers.lowerBound) * joined + micro
    }

    private func matrix(slot: Int, rows: Int) -> Matrix {
        Matrix(sharing: buffer, offset: slot * slotBytes / 4, rows: rows, columns: columns)
    }

    /// Begins a forward pass.
    func begin() { spill?.begin() }

    /// Keeps the input of a layer.
    /// - Throws: `FormatError` (`io`) when an earlier one could not be written.
    func keep(_ input: Matrix, layer: Int, micro: Int) throws {
        let place = place(layer, micro)
        let slot = try spill?.freeSlot() ?? place
        _ = input.moved(to: matrix(slot: slot, rows: input.rows))
        spill?.write(slot: slot, place: place)
    }

    /// Says that the backward pass begins: layers descending, in each the first `micros` micro-batches ascending.
    func beginReading(micros: Int) {
        spill?.read(layers.reversed().flatMap { layer in (0..<micros).map { place(layer, $0) } })
    }

    /// The input of a layer, good until the next is asked for.
    /// - Throws: `FormatError` (`io`) when it could not be read or written.
    func input(layer: Int, micro: Int, rows: Int) throws -> Matrix {
        let place = place(layer, micro)
        return matrix(slot: try spill?.next(place) ?? place, rows: rows)
    }
}

/// Transfers between a window in memory and a file, in order, by a thread of their own.
private final class SpillWindow: Sendable {
    private enum Job {
        case write(slot: Int, place: Int)
        case read(place: Int)
    }

    private struct State {
        var free: [Int]
        var jobs: [Job] = []
        /// What the thread is at, which keeps its slot.
        var isBusy = false
        /// Inputs that were read and wait to be used, in order.
        var ready: [(place: Int, slot: Int)] = []
        /// The slot that the computation uses.
        var used: Int?
        var failure: FormatError?
        var isStopped = false
    }

    private let file: SpillFile
    private let buffer: Buffer
    private let slotBytes: Int
    private let slots: Int
    private let monitor: Monitor<State>

    init(_ file: SpillFile, buffer: Buffer, slots: Int, slotBytes: Int) {
        self.file = file
        self.buffer = buffer
        self.slots = slots
        self.slotBytes = slotBytes
        monitor = Monitor(State(free: Array(0..<slots)))
    }

    // MARK: The thread's side

    func run() {
        while let (job, slot) = nextJob() {
            let memory = UnsafeMutableRawBufferPointer(
                start: buffer.base + slot * slotBytes, count: slotBytes)
            var failure: FormatError?
            do throws(FormatError) {
                switch job {
                case .write(_, let place):
                    try file.write(UnsafeRawBufferPointer(memory), at: place * slotBytes)
                case .read(let place): try file.read(at: place * slotBytes, into: memory)
                }
            } catch {
                failure = error
            }
            monitor.withLock { state in
                state.isBusy = false
                if let failure { state.failure = failure }
                if case .read(let place) = job, failure == nil {
                    state.ready.append((place, slot))
                } else {
                    state.free.append(slot)
                }
            }
        }
    }

    private func nextJob() -> (Job, slot: Int)? {
        let next: (Job, slot: Int)?? = monitor.wait { state in
            if state.isStopped { return .some(nil) }
            guard let job = state.jobs.first else { return nil }
            switch job {
            case .write(let slot, _):
                state.jobs.removeFirst()
                state.isBusy = true
                return .some((job, slot))
            case .read:
                guard let slot = state.free.popLast() else { return nil }
                state.jobs.removeFirst()
                state.isBusy = true
                return .some((job, slot))
            }
        }
        return next ?? nil
    }

    func stop() { monitor.withLock { $0.isStopped = true } }

    // MARK: The computation's side

    /// Forgets what an earlier pass left; that may have ended in the middle.
    func begin() {
        monitor.wait { state -> Void? in
            state.jobs = []
            guard !state.isBusy else { return nil }
            state.free = Array(0..<slots)
            (state.ready, state.used, state.failure) = ([], nil, nil)
            return ()
        }
    }

    func freeSlot() throws -> Int {
        try monitor.wait { state in
            if let failure = state.failure { throw failure }
            return state.free.popLast()
        }
    }

    func write(slot: Int, place: Int) {
        monitor.withLock { $0.jobs.append(.write(slot: slot, place: place)) }
    }

    func read(_ places: [Int]) {
        monitor.withLock { $0.jobs += places.map { .read(place: $0) } }
    }

    /// Waits for the next input of the order, and gives the one before it back.
    func next(_ place: Int) throws -> Int {
        try monitor.wait { state in
            if let used = state.used {
                state.free.append(used)
                state.used = nil
            }
            if let failure = state.failure { throw failure }
            guard let first = state.ready.first else { return nil }
            precondition(
                first.place == place, "inputs are asked for in another order than announced")
            state.ready.removeFirst()
            state.used = first.slot
            return first.slot
        }
    }
}
