// SPDX-License-Identifier: Apache-2.0
// Checkpoints that show another one otherwise.
import EftTensor

/// A checkpoint that shows the tensors of another one under other names, in other forms or in part.
package protocol CheckpointView: CheckpointReader {
    /// The checkpoint that is shown.
    var base: any CheckpointReader { get }
}

extension CheckpointView {
    package var path: String { base.path }
    package var files: [String] { base.files }
    package var tensors: [TensorInfo] { base.tensors }
    package var opaqueTensors: [OpaqueTensor] { base.opaqueTensors }
    package var metadata: [String: String] { base.metadata }
}
