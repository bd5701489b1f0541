// SPDX-License-Identifier: Apache-2.0
// Layers that pass through a window, read ahead of the computation by a thread of their own.
import EftFormats
import EftNN
import EftTensor
import Synchronization

/// What a streamed decoder is loaded by: which layers stay, and where the others are read from.
package struct StreamedBase: Sendable {
    /// Which layers stay in memory.
    package let placement: WeightPlacement
    /// Where the others are read from.
    package let cache: PanelCache
    /// Whether to read past the page cache where possible.
    package var direct = true

    /// Pairs a placement with a cache.
    package init(placement: WeightPlacement, cache: PanelCache) {
        self.placement = placement
        self.cache = cache
    }

    /// What streams the layers of a placement from below a folder of caches; nil when none is streamed.
    /// - Parameter caches: `CacheFolder.standard()` when nil.
    /// - Throws: `ModelError` when there is no place for caches, and errors of reading the weights' tables.
    package init?(
        _ placement: WeightPlacement?, _ loader: @autoclosure () throws -> DecoderLoader,
        layouts: @autoclosure () throws -> DecoderLayouts, caches: String?
    ) throws {
        guard let placement, placement.isStreaming else { return nil }
        self.init(
            placement: placement,
            cache: try PanelCache(
                loader(), layouts: layouts(), below: caches ?? CacheFolder.standard()))
    }
}

/// The streamed layers of one device's part of a decoder. One pass at a time.
///
/// A pass says in which order it will need layers (`begin`), and then asks for each one (`acquire`) and gives it back
/// (`release`). The layer's weights are bound to the window in between. A fault of the reader is thrown by the
/// `acquire` of the layer that it keeps from being read.
package final class LayerStream: Sendable {
    private let reader: WindowReader
    private let thread: WorkerThread
    private let layers: [Int: DecoderLayer]

    /// Takes the window's memory and begins to read the first layers.
    /// - Parameters:
    ///   - device: the device, by its place in the placement.
    ///   - layers: all layers of the decoder; those that are streamed have unbound weights.
    /// - Throws: `FormatError` when the cache lacks a layer, `TensorError` when the window does not fit the ledger.
    package init(
        _ base: StreamedBase, device: Int, layers: [DecoderLayer], ledger: MemoryLedger?
    ) throws {
        let placement = base.placement.devices[device]
        let files = try placement.streamed.map {
            try base.cache.open(layer: $0, direct: base.direct)
        }
        self.layers = Dictionary(
            uniqueKeysWithValues: placement.streamed.map { ($0, layers[$0]) })
        let window = try Buffer(
            byteCount: placement.windowBytes, ledger: ledger, purpose: .window, pageAligned: true)
        let reader = WindowReader(files, slots: placement.slots, window: window)
        self.reader = reader
        thread = try WorkerThread { reader.run() }
    }

    deinit {
        reader.stop()
        thread.join()
    }

    /// Whether a layer is streamed.
    package func isStreamed(_ layer: Int) -> Bool { layers[layer] != nil }

    /// Begins a pass. No layer may be in use.
    package func begin(_ walk: LayerWalk) { reader.begin(walk) }

    /// Waits for the layer that the pass needs next, and binds its weights.
    /// - Throws: `FormatError` when it could not be read.
    package func acquire(_ layer: Int) throws {
        let address = try reader.wait(for: layer)
        guard let target = layers[layer] else { return }
        for (linear, offset) in zip(target.linears, reader.offsets(of: layer)) {
            linear.weight.bind(address + offset)
        }
    }

    /// Gives the layer back; its place may be read over.
    package func release(_ layer: Int) {
        for linear in layers[layer]?.linears ?? [] { linear.weight.bind(nil) }
        reader.advance()
    }

    /// Bytes read so far.
    package var bytesRead: Int { reader.statistics.bytes }

    /// What reading came to so far.
    package var statistics: StreamStatistics { reader.statistics }

    /// Waits until the window holds all that it should, or the reader has failed.
    package func settle() { reader.settle() }
}

/// The reader: shared by the stream that owns it and the thread that runs it.
private final class WindowReader: Sendable {
    private struct State {
        var schedule: WindowSchedule
        /// Layers whose records have been checked.
        var verified: Set<Int> = []
        var failure: FormatError?
        var statistics = StreamStatistics()
        var isStopped = false
    }

    private let files: [Int: PanelFile]
    private let window: Buffer
    private let slotBytes: Int
    private let monitor: Monitor<State>
    private let stopping = Atomic(false)

    init(_ files: [PanelFile], slots: Int, window: Buffer) {
        self.files = Dictionary(uniqueKeysWithValues: files.map { ($0.layer, $0) })
        self.window = window
        slotBytes = window.byteCount / slots
        monitor = Monitor(
            State(schedule: WindowSchedule(streamed: files.map(\.layer), slots: slots)))
    }

    func offsets(of layer: Int) -> [Int] { files[layer]?.record.offsets ?? [] }

    // MARK: The thread's side

    func run() {
        let ring = ReadRing()
        while let job = nextJob() {
            let target = UnsafeMutableRawBufferPointer(
                start: window.base + job.slot * slotBytes, count: slotBytes)
            var failure: FormatError?
            var isRead = false
            let start = ContinuousClock.now
            do throws(FormatError) {
                isRead = try job.file.read(into: target, verify: job.verify, ring: ring) {
                    stopping.load(ordering: .relaxed)
                }
            } catch {
                failure = error
            }
            monitor.withLock { state in
                state.schedule.finishRead(slot: job.slot, succeeded: isRead)
                state.statistics.readSeconds += (ContinuousClock.now - start).seconds
                if isRead {
                    state.statistics.bytes += job.file.record.byteCount
                    state.verified.insert(job.file.layer)
                }
                if let failure { state.failure = failure }
            }
        }
    }

    private func nextJob() -> (file: PanelFile, slot: Int, verify: Bool)? {
        let job: (file: PanelFile, slot: Int, verify: Bool)?? = monitor.wait { state in
            if state.isStopped || state.failure != nil { return .some(nil) }
            guard let read = state.schedule.startRead(), let file = files[read.layer] else {
                return nil
            }
            return .some((file, read.slot, !state.verified.contains(read.layer)))
        }
        return job ?? nil
    }

    // MARK: The computation's side

    func begin(_ walk: LayerWalk) { monitor.withLock { $0.schedule.begin(walk) } }

    func advance() { monitor.withLock { $0.schedule.advance() } }

    func wait(for layer: Int) throws -> UnsafeRawPointer {
        let start = ContinuousClock.now
        defer {
            let seconds = (ContinuousClock.now - start).seconds
            monitor.withLock { $0.statistics.waitSeconds += seconds }
        }
        return try monitor.wait { state in
            precondition(state.schedule.head == layer, "layer \(layer) is not the next of the walk")
            if state.schedule.isReady(layer), let slot = state.schedule.slot(of: layer) {
                return UnsafeRawPointer(window.base + slot * slotBytes)
            }
            if let failure = state.failure { throw failure }
            return nil
        }
    }

    var statistics: StreamStatistics { monitor.withLock { $0.statistics } }

    func settle() {
        monitor.wait { state -> Void? in
            let needed = state.schedule.needed
            let isDone = needed.allSatisfy { state.schedule.isReady($0) }
            return isDone || state.failure != nil || state.isStopped ? () : nil
        }
    }

    func stop() {
        stopping.store(true, ordering: .relaxed)
        monitor.withLock { $0.isStopped = true }
    }
}
