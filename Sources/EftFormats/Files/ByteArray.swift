// SPDX-License-Identifier: Apache-2.0
// Raw views of byte arrays that pass typed errors through, which the standard library's do not.

extension [UInt8] {
    /// Gives `body` a view of the bytes, valid only during the call.
    package func withRawBytes<R, E: Error>(
        _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        try withUnsafeBufferPointer { (buffer) throws(E) in try body(UnsafeRawBufferPointer(buffer))
        }
    }

    /// Gives `body` a writable view of the bytes, valid only during the call.
    package mutating func withMutableRawBytes<R, E: Error>(
        _ body: (UnsafeMutableRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        try withUnsafeMutableBufferPointer { (buffer) throws(E) in
            try body(UnsafeMutableRawBufferPointer(buffer))
        }
    }
}
