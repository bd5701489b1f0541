// SPDX-License-Identifier: Apache-2.0
// A checkpoint whose large tensors are read by a thread of their own before they are asked for.
import EftFormats
import EftGGUF
import EftTensor
import Synchronization

/// Reads large tensors in the order in which they will be asked for, past the page cache, while others are packed. What
/// the page cache holds already is taken from there, so that a model that was read a moment ago loads at memory's speed.
///
/// A reader like any other: what is asked for in another order, or again, is read from the checkpoint itself. One thread
/// asks at a time.
package final class ReadAheadCheckpoint: CheckpointView {
    /// Bytes read at a time.
    package static let pieceBytes = 4 << 20
    /// Pieces that wait to be asked for, at most.
    package static let pieceCount = 8
    /// Less than this is read as fast without a thread.
    package static let leastBytes = 64 << 20

    package let base: any CheckpointReader
    private let reader: PieceReader
    private let thread: WorkerThread
    /// Which pieces are a tensor's.
    private let pieces: [String: Range<Int>]

    /// Memory for tensors of so many bytes together, under `.workspace`.
    package static func scratchBytes(_ byteCount: Int) -> Int {
        byteCount < leastBytes ? 0 : pieceCount * PieceReader.slotBytes
    }

    /// Begins to read tensors; nil when there is too little of them, or no file holds them as they are.
    /// - Parameter leastBytes: from how many bytes on a thread is made.
    /// - Throws: `FormatError`, `TensorError` when the memory does not fit the ledger, `ModelError` without a thread.
    package init?(
        _ base: any CheckpointReader, tensors: [TensorInfo], ledger: MemoryLedger?,
        leastBytes: Int = ReadAheadCheckpoint.leastBytes
    ) throws {
        let places = tensors.map { ($0.name, base.place(of: $0.name)) }
        let byteCount = places.reduce(0) { $0 + ($1.1?.bytes.count ?? 0) }
        guard byteCount >= leastBytes, byteCount > 0 else { return nil }
        var (all, pieces) = ([PieceReader.Piece](), [String: Range<Int>]())
        var files: [String: DirectFile] = [:]
        for case (let name, let place?) in places where pieces[name] == nil {
            let file = try files[place.path] ?? DirectFile(path: place.path)
            files[place.path] = file
            let first = all.count
            for start in stride(
                from: place.bytes.lowerBound, to: place.bytes.upperBound,
                by: ReadAheadCheckpoint.pieceBytes)
            {
                let end = min(start + ReadAheadCheckpoint.pieceBytes, place.bytes.upperBound)
                all.append(PieceReader.Piece(file: file, bytes: start..<end))
            }
            pieces[name] = first..<all.count
        }
        self.base = base
        self.pieces = pieces
        let reader = try PieceReader(all, ledger: ledger)
        self.reader = reader
        thread = try WorkerThread { reader.run() }
    }

    deinit {
        reader.stop()
        thread.join()
    }

    package func read(
        _ name: String, bytes range: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        let size = ReadAheadCheckpoint.pieceBytes
        guard let own = pieces[name], !range.isEmpty,
            reader.isAhead(own.lowerBound + range.lowerBound / size)
        else { return try base.read(name, bytes: range, into: target) }
        precondition(target.count == range.count, "\(range.count) bytes into \(target.count)")
        var done = range.lowerBound
        while done < range.upperBound {
            let piece = own.lowerBound + done / size
            let bytes = try reader.wait(for: piece)
            let first = done % size
            let count = min(bytes.count - first, range.upperBound - done)
            let part = UnsafeRawBufferPointer(rebasing: bytes[first..<first + count])
            UnsafeMutableRawBufferPointer(rebasing: target[(done - range.lowerBound)...])
                .copyMemory(from: part)
            done += count
            if first + count == bytes.count { reader.release(piece) }
        }
    }

    // MARK: As the checkpoint itself

    package var quantization: StoredQuantization? { base.quantization }

    package func find(_ name: String) -> TensorInfo? { base.find(name) }

    package func withBytes<R>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R { try base.withBytes(of: name, body) }

    package func releasePages(of name: String) { base.releasePages(of: name) }

    package func blockType(of name: String) -> GGUFTensorType? { base.blockType(of: name) }

    package func readBlocks(
        _ name: String, rows: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        try base.readBlocks(name, rows: rows, into: target)
    }

    package func place(of name: String) -> (path: String, bytes: Range<Int>)? {
        base.place(of: name)
    }
}

/// The thread's side: pieces of files, one after the other, in a ring of places.
private final class PieceReader: Sendable {
    /// Bytes of a file.
    struct Piece: Sendable {
        let file: DirectFile
        let bytes: Range<Int>

        /// Where reading begins, a multiple of what direct reads ask for.
        var start: Int { bytes.lowerBound / DirectFile.alignment * DirectFile.alignment }
    }

    /// A piece that begins and ends anywhere.
    static let slotBytes = ReadAheadCheckpoint.pieceBytes + 2 * DirectFile.alignment

    private struct State {
        /// The piece in each place of the ring.
        var held: [Int?]
        /// The next piece to read.
        var next = 0
        /// Pieces before this one are not needed any more.
        var needed = 0
        var failure: FormatError?
        var isStopped = false
    }

    private let pieces: [Piece]
    private let ring: Buffer
    private let monitor: Monitor<State>

    init(_ pieces: [Piece], ledger: MemoryLedger?) throws(TensorError) {
        let count = ReadAheadCheckpoint.pieceCount
        self.pieces = pieces
        ring = try Buffer(
            byteCount: count * PieceReader.slotBytes, ledger: ledger, purpose: .workspace,
            pageAligned: true)
        monitor = Monitor(State(held: Array(repeating: nil, count: count)))
    }

    private func slot(_ piece: Int) -> Int { piece % ReadAheadCheckpoint.pieceCount }

    private func address(_ piece: Int) -> UnsafeMutableRawPointer {
        ring.base + slot(piece) * PieceReader.slotBytes
    }

    // MARK: The thread

    func run() {
        while let index = nextPiece() {
            let piece = pieces[index]
            var failure: FormatError?
            do throws(FormatError) {
                let needed = piece.bytes.upperBound - piece.start
                let target = UnsafeMutableRawBufferPointer(
                    start: address(index), count: roundUp(needed, to: DirectFile.alignment))
                if !piece.file.readCached(at: piece.start, into: target, needed: needed) {
                    try piece.file.read(at: piece.start, into: target, needed: needed)
                }
            } catch {
                failure = error
            }
            monitor.withLock { state in
                if let failure { state.failure = failure } else { state.held[slot(index)] = index }
            }
        }
    }

    /// The next piece, once its place is free; nil at the end.
    private func nextPiece() -> Int? {
        let piece: Int?? = monitor.wait { state in
            state.next = max(state.next, state.needed)
            if state.isStopped || state.failure != nil || state.next >= pieces.count {
                return .some(nil)
            }
            guard state.next < state.needed + ReadAheadCheckpoint.pieceCount else { return nil }
            state.held[slot(state.next)] = nil
            state.next += 1
            return .some(state.next - 1)
        }
        return piece ?? nil
    }

    func stop() { monitor.withLock { $0.isStopped = true } }

    // MARK: Who asks

    /// Whether a piece is still held, or to be read.
    func isAhead(_ piece: Int) -> Bool { monitor.withLock { piece >= $0.needed } }

    /// The bytes of a piece, valid until it is released or a later one is asked for; those before it are given up.
    /// - Throws: `FormatError` when it could not be read.
    func wait(for piece: Int) throws(FormatError) -> UnsafeRawBufferPointer {
        let result: Result<Void, FormatError> = monitor.wait { state in
            state.needed = max(state.needed, piece)
            if state.held[slot(piece)] == piece { return .success(()) }
            return state.failure.map { .failure($0) }
        }
        try result.get()
        let (bytes, start) = (pieces[piece].bytes, pieces[piece].start)
        return UnsafeRawBufferPointer(
            start: address(piece) + (bytes.lowerBound - start), count: bytes.count)
    }

    /// Gives a piece's place back.
    func release(_ piece: Int) {
        monitor.withLock { $0.needed = max($0.needed, piece + 1) }
    }
}
