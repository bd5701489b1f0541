// SPDX-License-Identifier: Apache-2.0
// What this machine was measured to do, by which times are estimated.
import EftQuant
import EftTensor

/// A form of weights whose products are measured.
package enum WeightKind: Sendable, Hashable {
    case f32
    case f16
    case bf16
    case nf4
    /// Codes of one width, as EXL2 has them.
    case exl2(bits: Int)

    /// All that a calibration measures.
    package static let all: [WeightKind] =
        [.f32, .f16, .bf16, .nf4] + EXL2Geometry.uniformWidths.map { .exl2(bits: $0) }

    /// The word for files, such as `exl2-4`.
    package var name: String {
        switch self {
        case .f32: "f32"
        case .f16: "f16"
        case .bf16: "bf16"
        case .nf4: "nf4"
        case .exl2(let bits): "exl2-\(bits)"
        }
    }
}

/// Speeds of a machine, measured once.
package struct Calibration: Sendable, Hashable {
    /// What speeds depend on; a calibration holds for an equal machine.
    package struct Machine: Sendable, Hashable {
        /// The processor's name as the system gives it.
        package var processor: String
        /// The level of the kernels.
        package var instructionSet: String
        /// Number of workers.
        package var threads: Int

        /// Names a machine.
        package init(processor: String, instructionSet: String, threads: Int) {
            self.processor = processor
            self.instructionSet = instructionSet
            self.threads = threads
        }

        /// This machine with the workers and the level of a backend.
        package init(_ backend: CPUBackend) {
            self.init(
                processor: ProcessorName.current, instructionSet: backend.instructionSet.name,
                threads: backend.threads)
        }
    }

    /// Speeds of products with one form of weights, of all workers together.
    package struct ProductRates: Sendable, Hashable {
        /// Bytes of weights per second of one-row products over more weights than the caches hold; activations of
        /// EXL2 in integers.
        package var vectorBytes: Double
        /// Operations per second, two for each weight and row, of products of many rows, by the precision of
        /// activations.
        package var product: [ActivationPrecision: Double]
        /// The same of the backward product, which is never in integers.
        package var transposed: [ActivationPrecision: Double]

        /// Makes rates.
        package init(
            vectorBytes: Double, product: [ActivationPrecision: Double],
            transposed: [ActivationPrecision: Double]
        ) {
            self.vectorBytes = vectorBytes
            self.product = product
            self.transposed = transposed
        }

        /// Operations per second at a precision; where it was not measured it makes no difference to f32.
        package func operations(_ precision: ActivationPrecision, backward: Bool) -> Double {
            let rates = backward ? transposed : product
            return rates[precision] ?? rates[.f32] ?? 0
        }
    }

    /// Operations per second of attention over whole sequences, two for each multiplication of a score or a value.
    package struct AttentionRates: Sendable, Hashable {
        /// Forward.
        package var forward: Double
        /// Backward, counted as two and a half times the forward operations.
        package var backward: Double

        /// Makes rates.
        package init(forward: Double, backward: Double) {
            self.forward = forward
            self.backward = backward
        }
    }

    /// Bytes per second of a disk.
    package struct DiskRates: Sendable, Hashable {
        /// Of large reads past the page cache, one after the other.
        package var read: Double
        /// Of writing until the bytes are on the disk.
        package var write: Double

        /// Makes rates.
        package init(read: Double, write: Double) {
            self.read = read
            self.write = write
        }
    }

    /// The machine.
    package var machine: Machine
    /// Memory bandwidth and peaks of arithmetic.
    package var limits: MachineLimits
    /// Products by the form of weights.
    package var products: [WeightKind: ProductRates]
    /// Attention in f32.
    package var attention: AttentionRates
    /// Seconds that a product of one row takes with next to no outputs: handing it out, and bringing the row in form.
    package var operationSeconds: Double
    /// Disks by the number that the system gives their file system; those that were measured.
    package var disks: [UInt64: DiskRates]

    /// Holds figures.
    package init(
        machine: Machine, limits: MachineLimits, products: [WeightKind: ProductRates],
        attention: AttentionRates, operationSeconds: Double, disks: [UInt64: DiskRates] = [:]
    ) {
        self.machine = machine
        self.limits = limits
        self.products = products
        self.attention = attention
        self.operationSeconds = operationSeconds
        self.disks = disks
    }

    /// The rates of the disk on which a folder lies, or will lie; nil when it was not measured.
    package func disk(of folder: String) -> DiskRates? {
        DiskProbe.device(of: folder).flatMap { disks[$0] }
    }
}
