import EftTensor
import EftFormats
package enum WeightTarget: Sendable, Hashable { case asStored; case nf4(doubleQuantization: Bool); case f32 }
package enum DenseScheme { package static let name = "dense" }
package struct LinearSource { package init(module: String, checkpoint: any CheckpointReader, inputs: Int, outputs: Int) throws {}
 package var schemeName: String { "" }
 package func layout(as: WeightTarget) throws -> WeightLayout { WeightLayout(.f32, inputs: 1, outputs: 1) }
 package func loadScratchBytes(as: WeightTarget) throws -> Int { 0 }
 package func load(as: WeightTarget, backend: CPUBackend, purpose: MemoryPurpose = .weights) throws -> PackedWeight { try PackedWeight(layout: WeightLayout(.f32, inputs: 1, outputs: 1), ledger: nil) }
}
package enum VectorSource { package static func load(_ name: String, count: Int, checkpoint: any CheckpointReader, backend: CPUBackend) throws -> Buffer { try Buffer(byteCount: 0, ledger: nil, purpose: .weights) } }
