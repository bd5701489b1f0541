// SPDX-License-Identifier: Apache-2.0
// What the system says of this process.

#if canImport(Glibc)
    import Glibc
#endif

/// Numbers about the process, read when they are asked for.
package enum ProcessMetrics {
    /// Adds the numbers to a registry; those that the system does not tell are left out.
    package static func register(_ registry: MetricsRegistry) {
        let start = startTime
        registry.add { text in
            if let pages = statm {
                let size = Double(pageSize)
                text.gauge(
                    "process_virtual_memory_bytes", "Virtual memory size in bytes.",
                    Double(pages.virtual) * size)
                text.gauge(
                    "process_resident_memory_bytes", "Resident memory size in bytes.",
                    Double(pages.resident) * size)
            }
            if let start {
                text.gauge(
                    "process_start_time_seconds",
                    "Start time of the process since unix epoch in seconds.", start)
            }
            text.head(
                "process_cpu_seconds_total",
                help: "Total user and system CPU time spent in seconds.",
                type: "counter")
            text.sample("process_cpu_seconds_total", [], cpuSeconds)
            if let count = openFiles {
                text.gauge("process_open_fds", "Number of open file descriptors.", Double(count))
            }
            text.gauge(
                "process_max_fds", "Maximum number of open file descriptors.",
                Double(OpenFileLimit.current))
        }
    }

    /// Bytes that the process holds in memory now; nil where the system does not tell.
    static var residentBytes: Int? {
        statm.flatMap { pages in
            let (bytes, overflows) = pages.resident.multipliedReportingOverflow(by: pageSize)
            return overflows ? nil : bytes
        }
    }

    private static var pageSize: Int { max(sysconf(Int32(_SC_PAGESIZE)), 0) }

    private static var statm: (virtual: Int, resident: Int)? {
        let numbers = firstLine("/proc/self/statm")?.split(separator: " ").compactMap { Int($0) }
        guard let numbers, numbers.count > 1 else { return nil }
        return (numbers[0], numbers[1])
    }

    private static var cpuSeconds: Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        let parts = [usage.ru_utime, usage.ru_stime]
        return parts.reduce(0) { $0 + Double($1.tv_sec) + Double($1.tv_usec) * 1e-6 }
    }

    /// When the process was started: so long after the machine was.
    private static var startTime: Double? {
        // The program's name, in parentheses, may hold spaces.
        guard let line = firstLine("/proc/self/stat"), let close = line.lastIndex(of: ")") else {
            return nil
        }
        let fields = line[close...].split(separator: " ")
        var boot = timespec()
        guard fields.count > 20, let ticks = Double(fields[20]),
            clock_gettime(CLOCK_BOOTTIME, &boot) == 0
        else { return nil }
        let uptime = Double(boot.tv_sec) + Double(boot.tv_nsec) * 1e-9
        return UnixTime.now - uptime + ticks / Double(max(sysconf(Int32(_SC_CLK_TCK)), 1))
    }

    private static var openFiles: Int? {
        guard let folder = opendir("/proc/self/fd") else { return nil }
        defer { closedir(folder) }
        var count = 0
        while readdir(folder) != nil { count += 1 }
        // Less the two names for folders, and the descriptor that reads this one.
        return max(0, count - 3)
    }

    private static func firstLine(_ path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 1024)
        guard fgets(&line, Int32(line.count), file) != nil else { return nil }
        return String(
            decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}

extension Exposition {
    fileprivate mutating func gauge(_ name: String, _ help: String, _ value: Double) {
        head(name, help: help, type: "gauge")
        sample(name, [], value)
    }
}
