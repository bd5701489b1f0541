// SPDX-License-Identifier: Apache-2.0
// Several reads of a file at once, for disks that are faster so.
import CURing

#if canImport(Glibc)
    import Glibc
#endif

/// A queue of reads in flight (io_uring), for one thread that reads large pieces.
///
/// The kernel is asked for it at the first read. Where it grants none (older kernels, most containers), or refuses a
/// read, the ring takes on no further ones, and its owner reads by system calls.
package final class ReadRing {
    /// Bytes of a read.
    static let piece = 4 << 20
    /// Reads in flight.
    static let depth = 4

    private enum State {
        /// The kernel was not asked yet.
        case unasked
        case open(OpaquePointer)
        case refused
    }
    private var state: State

    /// Prepares a ring; takes nothing from the system yet.
    /// - Parameter isWanted: whether to ask the kernel at all.
    package init(isWanted: Bool = ReadRing.isWanted) { state = isWanted ? .unasked : .refused }

    deinit { close() }

    /// Whether the environment leaves reads to rings: `EFT_IO_URING=0` forbids it.
    package static var isWanted: Bool {
        getenv("EFT_IO_URING").map { String(cString: $0) != "0" } ?? true
    }

    /// Whether reads go by system calls from now on.
    package var isRefused: Bool { if case .refused = state { true } else { false } }

    private func close() {
        if case .open(let ring) = state { eft_ring_close(ring) }
        state = .refused
    }

    private func opened() -> OpaquePointer? {
        switch state {
        case .open(let ring): return ring
        case .refused: return nil
        case .unasked:
            let ring = eft_ring_open(UInt32(ReadRing.depth))
            state = ring.map { .open($0) } ?? .refused
            return ring
        }
    }

    /// Reads the beginning of `target`, all of it when nothing hinders. No read is in flight any more when it returns.
    ///
    /// Whatever hindered is met again by the reader that goes on from there: the ring reports no errors of its own.
    /// - Parameters:
    ///   - descriptor: the file.
    ///   - offset: where the first byte lies in it.
    ///   - shouldStop: asked between pieces; when it says yes, no more are begun.
    /// - Returns: bytes read from the beginning on without a gap.
    package func read(
        _ descriptor: Int32, at offset: Int, into target: UnsafeMutableRawBufferPointer,
        shouldStop: () -> Bool
    ) -> Int {
        guard let ring = opened() else { return 0 }
        var pass = Pass(byteCount: target.count)
        var isRefused = false
        repeat {
            while pass.inFlight < ReadRing.depth, !isRefused, !shouldStop(),
                let piece = pass.begin()
            {
                let bytes = UnsafeMutableRawBufferPointer(rebasing: target[piece])
                guard submit(ring, descriptor, bytes, at: offset, piece) else {
                    pass.withdraw()
                    isRefused = true
                    break
                }
            }
            guard pass.inFlight > 0 else { break }
            let (start, count) = ReadRing.wait(ring)
            pass.end(start, count)
            if count < 0 { isRefused = true }
        } while true
        if isRefused { close() }
        return pass.contiguous
    }

    /// Hands one read to the kernel.
    private func submit(
        _ ring: OpaquePointer, _ descriptor: Int32, _ bytes: UnsafeMutableRawBufferPointer,
        at offset: Int, _ piece: Range<Int>
    ) -> Bool {
        eft_ring_read(
            ring, descriptor, bytes.baseAddress, UInt32(bytes.count),
            UInt64(offset + piece.lowerBound), UInt64(piece.lowerBound))
    }

    /// Waits for a read that is in flight.
    /// - Returns: where in the target it begins, and its bytes or a negative error number.
    private static func wait(_ ring: OpaquePointer) -> (start: Int, count: Int) {
        var tag: UInt64 = 0
        let count = eft_ring_wait(ring, &tag)
        return (Int(tag), Int(count))
    }
}

/// The pieces of one target: which are begun, and how far they are read without a gap.
private struct Pass {
    let byteCount: Int
    private var next = 0
    private(set) var inFlight = 0
    /// Bytes read of each piece, by its number.
    private var read: [Int]
    private var isShort = false

    init(byteCount: Int) {
        self.byteCount = byteCount
        read = Array(repeating: 0, count: (byteCount + ReadRing.piece - 1) / ReadRing.piece)
    }

    /// The next piece, entered as in flight; nil behind the last one and after one that was not read whole.
    mutating func begin() -> Range<Int>? {
        guard next < byteCount, !isShort else { return nil }
        let piece = next..<min(next + ReadRing.piece, byteCount)
        next = piece.upperBound
        inFlight += 1
        return piece
    }

    /// Takes back the piece that was begun last.
    mutating func withdraw() {
        inFlight -= 1
        isShort = true
    }

    mutating func end(_ start: Int, _ count: Int) {
        inFlight -= 1
        read[start / ReadRing.piece] = max(0, count)
        if count < min(ReadRing.piece, byteCount - start) { isShort = true }
    }

    var contiguous: Int {
        var sum = 0
        for (number, count) in read.enumerated() {
            sum += count
            if sum < min((number + 1) * ReadRing.piece, byteCount) { break }
        }
        return sum
    }
}
