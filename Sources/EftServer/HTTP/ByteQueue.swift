// SPDX-License-Identifier: Apache-2.0
// Bytes that wait to be sent.

/// A queue of bytes.
struct ByteQueue {
    private var bytes: [UInt8] = []
    private var start = 0

    /// Bytes that wait.
    var count: Int { bytes.count - start }

    /// Puts bytes at the end.
    mutating func append(_ more: some Collection<UInt8>) { bytes.append(contentsOf: more) }

    /// Takes bytes from the front, as many as there are and fit.
    mutating func take(into target: UnsafeMutableBufferPointer<UInt8>) -> Int {
        let taken = min(count, target.count)
        guard taken > 0 else { return 0 }
        _ = target.update(fromContentsOf: bytes[start..<start + taken])
        start += taken
        // Moving what is left costs as much as was taken, at most.
        if start >= bytes.count - start {
            bytes.removeFirst(start)
            start = 0
        }
        return taken
    }

    /// Drops all bytes and their memory.
    mutating func clear() {
        bytes = []
        start = 0
    }
}
