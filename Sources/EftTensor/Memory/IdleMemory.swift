// SPDX-License-Identifier: Apache-2.0
// What a process that waits does not need.

/// Memory beside buffers that a process holds without using it.
package enum IdleMemory {
    /// Gives freed pages of the heap and the pages of code back. The code that runs next is mapped again from the system's
    /// cache, which takes about a millisecond; so this is for a program that is about to wait.
    package static func giveBack() {
        Heap.giveBack()
        ProgramCode.giveBack()
    }
}
