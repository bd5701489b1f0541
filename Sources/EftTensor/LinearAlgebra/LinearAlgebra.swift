// SPDX-License-Identifier: Apache-2.0
// Settings of the linear-algebra library.
import CLAPACK

/// Settings of the linear-algebra library.
package enum LinearAlgebra {
    /// Sets the number of its threads.
    package static func useThreads(_ count: Int) {
        openblas_set_num_threads(Int32(clamping: count))
    }
}
