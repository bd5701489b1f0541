// SPDX-License-Identifier: Apache-2.0
// Settings of the linear-algebra library.
import CLAPACK

/// Settings of the linear-algebra library.
package enum LinearAlgebra {
    /// Sets the number of its threads.
    package static func useThreads(_ count: Int) {
        openblas_set_num_threads(Int32(clamping: count))
    }

    /// Bytes that it takes by itself for packing, as measured for symmetric updates, factors and triangular
    /// systems of `size` rows from 256 to 8192.
    package static func workspaceBytes(threads: Int, size: Int) -> Int {
        threads * ((1 << 20) + 1472 * size)
    }
}
