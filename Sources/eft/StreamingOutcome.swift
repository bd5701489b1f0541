// SPDX-License-Identifier: Apache-2.0
// What streaming came to, for people and machines.
import EftCommandLine
import EftConfig
import EftModels
import EftTensor

extension StreamStatistics {
    /// A sentence, such as `12 GiB streamed at 1.6 GB/s, 98 % of it while computing`.
    var sentence: String {
        "\(formatBytes(bytes)) streamed at \(formatFixed(rate / 1e9, decimals: 2)) GB/s, "
            + "\(formatFixed(overlap * 100, decimals: 0)) % of the reading while others computed"
            + (expertsUsed > 0 ? ", \(expertsRead) of \(expertsUsed) experts read" : "")
    }

    /// For machines.
    var node: ConfigNode {
        var object: ConfigObject = [
            "bytes": ConfigNode(bytes), "bytes_per_second": ConfigNode(rate),
            "wait_seconds": ConfigNode(waitSeconds), "overlap": ConfigNode(overlap),
        ]
        if expertsUsed > 0 {
            object["experts_used"] = ConfigNode(expertsUsed)
            object["experts_read"] = ConfigNode(expertsRead)
        }
        return ConfigNode(.object(object))
    }
}
