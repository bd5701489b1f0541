// SPDX-License-Identifier: Apache-2.0
// The layers that are rounded without calibration.
import EftModels

extension DecoderDescription {
    /// The linear layers that become NF4 or FP8: a router decides much, and is small; experts in one tensor stay as they are.
    var roundedLinears: [LinearShape] {
        (0..<layers).flatMap { linears(layer: $0) }
            .filter { !$0.role.isRouter && !isStacked($0) }
    }
}
