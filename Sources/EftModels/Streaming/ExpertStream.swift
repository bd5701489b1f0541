// SPDX-License-Identifier: Apache-2.0
// Experts that are read when rows choose them, by threads of their own, and stay for as long as there is room.
import EftFormats
import EftNN
import EftTensor
import Synchronization

/// The experts of one device's streamed layers. One pass at a time.
///
/// The mixture of a layer names the experts that its rows chose, and then acquires and releases each (`ExpertSource`). Reads of
/// several go out together. A fault is thrown where the expert is needed that it keeps from being read; the next pass tries again.
package final class ExpertStream: Sendable {
    private let reader: ExpertReader
    private let threads: [WorkerThread]
    /// Reads at once.
    static let readers = 4

    /// Takes the memory of all places; it is resident as far as experts were read.
    /// - Parameters:
    ///   - device: the device, by its place in the placement.
    ///   - experts: what the placement says of it.
    ///   - layers: all layers of the decoder; the experts of streamed ones have unbound weights.
    /// - Throws: `FormatError` when the cache lacks a layer, `TensorError` when the memory does not fit the ledger.
    package init(
        _ base: StreamedBase, device: Int, _ experts: ExpertPlacement, layers: [DecoderLayer],
        ledger: MemoryLedger?
    ) throws {
        let streamed = base.placement.devices[device].streamed
        let files = try streamed.map { try base.cache.open(layer: $0, direct: base.direct) }
        let memory = try Buffer(
            byteCount: experts.slots * experts.slotBytes, ledger: ledger, purpose: .window,
            pageAligned: true, residency: .onUse)
        let reader = ExpertReader(files, experts, layers: layers.count, memory: memory)
        self.reader = reader
        var threads: [WorkerThread] = []
        do {
            for _ in 0..<ExpertStream.readers {
                threads.append(try WorkerThread { reader.run() })
            }
        } catch {
            reader.stop()
            for thread in threads { thread.join() }
            throw error
        }
        self.threads = threads
        for layer in streamed {
            guard let source = LayerExperts(reader, layers[layer]) else { continue }
            layers[layer].takeExperts(from: source)
        }
    }

    deinit {
        reader.stop()
        for thread in threads { thread.join() }
    }

    /// What reading came to so far.
    package var statistics: StreamStatistics { reader.statistics }
}

/// The experts of one layer.
private final class LayerExperts: ExpertSource {
    private let reader: ExpertReader
    private let layer: Int
    /// The weights of each expert.
    private let weights: [[PackedWeight]]

    init?(_ reader: ExpertReader, _ layer: DecoderLayer) {
        guard case .mixture(let mixture) = layer.feedForward else { return nil }
        self.reader = reader
        self.layer = layer.index
        weights = mixture.experts.map { $0.linears.map(\.weight) }
    }

    func begin(_ uses: [(expert: Int, lastRow: Int)]) { reader.begin(layer: layer, uses) }

    func acquire(_ expert: Int) throws {
        let record = try reader.wait(for: ExpertSchedule.Key(layer: layer, expert: expert))
        for (weight, offset) in zip(weights[expert], record.offsets) {
            weight.bind(record.address + offset)
        }
    }

    func release(_ expert: Int) {
        for weight in weights[expert] { weight.bind(nil) }
        reader.advance()
    }

    func end() { reader.end() }
}

/// The readers' common state: shared by the stream that owns it, the threads that run it and the layers.
private final class ExpertReader: Sendable {
    private typealias Key = ExpertSchedule.Key

    private struct State {
        var schedule: ExpertSchedule
        /// Experts whose records have been checked.
        var verified: Set<Key> = []
        var failures: [Key: FormatError] = [:]
        var statistics = StreamStatistics()
        /// Reads that go on, and since when there are any.
        var reading = 0
        var readingSince = ContinuousClock.now
        var isStopped = false
    }

    private let files: [Int: PanelFile]
    private let memory: Buffer
    private let slotBytes: Int
    private let monitor: Monitor<State>
    private let stopping = Atomic(false)

    init(_ files: [PanelFile], _ experts: ExpertPlacement, layers: Int, memory: Buffer) {
        self.files = Dictionary(uniqueKeysWithValues: files.map { ($0.layer, $0) })
        self.memory = memory
        slotBytes = experts.slotBytes
        let perRow = experts.layers.reduce(0) { max($0, $1.perRow) }
        monitor = Monitor(
            State(
                schedule: ExpertSchedule(
                    slots: experts.slots, layers: layers,
                    ahead: max(perRow, 2 * ExpertStream.readers))))
    }

    // MARK: The threads' side

    func run() {
        while let job = nextJob() {
            let target = UnsafeMutableRawBufferPointer(
                start: memory.base + job.slot * slotBytes, count: slotBytes)
            var failure: FormatError?
            var isRead = false
            do throws(FormatError) {
                isRead = try job.file.read(
                    expert: job.key.expert, into: target, verify: job.verify
                ) { stopping.load(ordering: .relaxed) }
            } catch {
                failure = error
            }
            monitor.withLock { state in
                state.schedule.finishRead(slot: job.slot, succeeded: isRead)
                state.reading -= 1
                if state.reading == 0 {
                    state.statistics.readSeconds +=
                        (ContinuousClock.now - state.readingSince).seconds
                }
                if isRead {
                    state.statistics.bytes += job.file.record.bytes(ofExpert: job.key.expert).count
                    state.statistics.expertsRead += 1
                    state.verified.insert(job.key)
                }
                if let failure { state.failures[job.key] = failure }
            }
        }
    }

    private func nextJob() -> (file: PanelFile, key: Key, slot: Int, verify: Bool)? {
        let job: (file: PanelFile, key: Key, slot: Int, verify: Bool)?? = monitor.wait { state in
            if state.isStopped { return .some(nil) }
            guard let read = state.schedule.startRead(), let file = files[read.key.layer] else {
                return nil
            }
            if state.reading == 0 { state.readingSince = ContinuousClock.now }
            state.reading += 1
            return .some((file, read.key, read.slot, !state.verified.contains(read.key)))
        }
        return job ?? nil
    }

    // MARK: The computation's side

    func begin(layer: Int, _ uses: [(expert: Int, lastRow: Int)]) {
        monitor.withLock { state in
            state.failures = [:]
            state.schedule.begin(layer: layer, uses)
            state.statistics.expertsUsed += uses.count
        }
    }

    func advance() { monitor.withLock { $0.schedule.advance() } }

    func end() { monitor.withLock { $0.schedule.end() } }

    /// Where an expert's record stands, and its weights in it.
    func wait(
        for key: ExpertSchedule.Key
    ) throws -> (address: UnsafeRawPointer, offsets: [Int]) {
        let start = ContinuousClock.now
        let slot = try monitor.wait { state -> Int? in
            precondition(state.schedule.head == key, "\(key) is not the next of the pass")
            guard let slot = state.schedule.place(of: key) else {
                if let failure = state.failures[key] { throw failure }
                return nil
            }
            state.statistics.waitSeconds += (ContinuousClock.now - start).seconds
            return slot
        }
        let address = UnsafeRawPointer(memory.base + slot * slotBytes)
        guard let record = files[key.layer]?.record, let experts = record.experts else {
            preconditionFailure("a layer without experts")
        }
        let first = record.bytes(ofExpert: key.expert).lowerBound
        return (address, record.offsets[experts.linears(of: key.expert)].map { $0 - first })
    }

    var statistics: StreamStatistics { monitor.withLock { $0.statistics } }

    func stop() {
        stopping.store(true, ordering: .relaxed)
        monitor.withLock { $0.isStopped = true }
    }
}
