// SPDX-License-Identifier: Apache-2.0
// The machine on which the program runs, for reports of faults.
import EftCommandLine
import EftConfig
import EftModels
import EftPlanning
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// What `eft --version --verbose` adds to the version.
enum VersionReport {
    /// Kernels, machine and folders, a line each.
    /// - Throws: `ConfigError` for a configuration that cannot be read.
    static func lines() throws -> [String] {
        let configuration = try UserConfiguration.read()
        var table = [
            ("kernels", InstructionSet.standard.name),
            (
                "processor",
                "\(model ?? "unknown"), \(sysconf(Int32(_SC_NPROCESSORS_ONLN))) processors"
            ),
            ("memory", formatBytes(ProcessMemory.machineBytes)),
            ("configuration", configuration.file ?? "none"),
        ]
        let cache = configuration.options["cache-dir"] ?? (try? CacheFolder.standard())
        table.append(("cache", cache ?? "none"))
        let width = table.map(\.0.count).max() ?? 0
        return table.map { name, value in
            name + String(repeating: " ", count: width + 2 - name.count)
                + excerpt(value, limit: 300)
        }
    }

    /// The processor's name, as Linux knows it.
    private static var model: String? {
        guard let bytes = try? ConfigFile.contents("/proc/cpuinfo") else { return nil }
        let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
            .first { $0.hasPrefix("model name") }
        return line?.split(separator: ":", maxSplits: 1).last.map {
            $0.split(separator: " ").joined(separator: " ")
        }
    }
}
