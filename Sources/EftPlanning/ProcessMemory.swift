// SPDX-License-Identifier: Apache-2.0
// What the operating system says that this process holds.
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// Resident memory of this process.
package enum ProcessMemory {
    /// Resident bytes now.
    package static var resident: Int { ResidentMemory.now }

    /// Work that a plan is made for. Each kind brings in pages of code and small objects of its own.
    package enum Work: Sendable, Hashable, CaseIterable {
        /// Loading a decoder and generating with it.
        case generation
        /// The same, with the code of a conversation in a terminal.
        case conversation
        /// Loading a decoder and scoring a text.
        case evaluation
        /// Training.
        case training
        /// Tensors from one file to another.
        case copying
        /// Quantizing with GPTQ.
        case quantizing

        /// The most by which the program was measured to grow from its plan on (docs/memory.md), with some room.
        fileprivate var growth: Int {
            switch self {
            case .generation: 3520 << 10
            case .conversation: 3712 << 10
            case .training: 3392 << 10
            case .evaluation: 2752 << 10
            case .copying: 1600 << 10
            case .quantizing: 2688 << 10
            }
        }

        /// The part of the growth that comes only once weights are loaded, where the peak may lie before it.
        package var later: Int {
            switch self {
            case .generation, .conversation, .evaluation, .training: max(0, growth - Work.loading)
            case .copying, .quantizing: 0
            }
        }

        /// The most by which the program was measured to grow while it loads weights.
        private static let loading = 2304 << 10
    }

    /// What the allocator takes around the buffers of a weight: pages that are begun, and gaps.
    private static let weightGap = 3072

    /// Bytes of a worker's stack and its small objects.
    private static let workerBytes = 24 << 10

    /// What the program itself will hold while it works: what it holds now, and by how much the work will make it grow
    /// outside of the ledgers, by pages of code that are used for the first time, stacks of threads and small objects.
    ///
    /// Memory that was freed is given back first: what reading files left behind is no part of what the program holds.
    /// - Parameter weights: linear layers that are loaded, each with buffers of its own.
    package static func program(for work: Work, threads: Int, weights: Int = 0) -> Int {
        Heap.giveBack()
        return resident + work.growth + threads * workerBytes + weights * weightGap
    }

    /// What a training run holds beyond what was planned before its data were read, and how much of it comes only after loading.
    /// - Parameters:
    ///   - program: the share that was planned.
    ///   - weights: linear layers that are loaded.
    ///   - rows: tokens of the largest micro-batch.
    ///   - completes: whether the run completes prompts too.
    package static func grown(
        beyond program: Int, training weights: Int, rows: Int, threads: Int,
        completes: Bool = false
    ) -> (bytes: Int, later: Int) {
        let later =
            weights * (trainedGap + min(rows, mostGrowingRows) * rowGap)
            + (completes ? engineBytes : 0)
        return (max(0, self.program(for: .training, threads: threads) - program) + later, later)
    }

    /// What a token of a micro-batch was measured to add for each weight, and how many tokens do.
    private static let (rowGap, mostGrowingRows) = (16, 1024)

    /// Pages of code of the engine, its lists of sequences and what commands are told.
    private static let engineBytes = 832 << 10

    /// What the allocator takes around a weight with adapters, their gradients and moments, and what saving them takes.
    private static let trainedGap = 7168

    /// The most resident bytes so far.
    package static var peakResident: Int { ResidentMemory.peak }

    /// Processors of the machine.
    package static var processors: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

    /// Bytes of the machine's memory.
    package static var machineBytes: Int {
        let (pages, size) = (sysconf(Int32(_SC_PHYS_PAGES)), sysconf(Int32(_SC_PAGESIZE)))
        guard pages > 0, size > 0 else { return 0 }
        return pages.multipliedReportingOverflow(by: size).partialValue
    }

    /// The limit when none is given: the machine's memory less an eighth of it, at most 2 GiB.
    package static var defaultLimit: Int {
        let machine = machineBytes
        return machine > 0 ? machine - min(machine / 8, 2 << 30) : .max
    }
}
