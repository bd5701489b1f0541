// SPDX-License-Identifier: Apache-2.0
// eft bench disk: how fast a folder's disk reads and writes.
import EftBenchmarks
import EftCommandLine
import EftConfig
import EftFormats
import EftPlanning

enum BenchDisk {
    static func run(_ arguments: ParsedArguments) throws {
        let folder = arguments.string("output", default: ".")
        var probe = DiskProbe()
        // Long enough that the caches inside a disk do not count.
        probe.byteCount = 4 << 30
        probe.seconds = 6
        let rates = CommonOptions.progress(arguments).during("measuring the disk of \(folder)") {
            [probe] in probe.measure(folder)
        }
        guard let rates else {
            throw FormatError(
                .io, "its disk cannot be measured: that takes 4 GiB of room and the right to write",
                path: folder)
        }
        if arguments.flag("json") {
            JSONOutput.print([
                "read": ConfigNode(rates.read), "write": ConfigNode(rates.write),
            ])
            return
        }
        let results = [
            BenchmarkResult("large direct reads", rates.read / 1e9, "GB/s"),
            BenchmarkResult("writes until they are on the disk", rates.write / 1e9, "GB/s"),
        ]
        for result in results {
            TerminalOutput.standardOutput.writeLine(result.row.prefix(3).joined(separator: "  "))
        }
    }
}
