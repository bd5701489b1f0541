// SPDX-License-Identifier: Apache-2.0
import EftFormats
import EftServer
import EftTestSupport
import Testing

struct ExpositionTests {
    /// The same numbers as `scripts/fixtures/metrics.py` makes.
    private func fill(_ registry: MetricsRegistry) {
        registry.counter("plain", help: "A plain count.")[[]].add(3)
        let counter = registry.counter(
            "vllm:named", help: "Back\\slash and\nline.", labels: ["model_name", "engine"])
        counter[["a\"b\\c\nd", "0"]].add(0.5)
        _ = counter[["é", "1"]]
        registry.gauge("level", help: "A level.")[[]].set(-12345678.25)
        let values = registry.gauge("values", help: "Spellings.", labels: ["of"])
        let numbers: [Double] = [
            0, 1, 0.1, 123456, 1_234_567, 12345678.5, 1e15, 1e16, 1.5e17, 1e22, 1e-5, 1e-4,
            .leastNonzeroMagnitude,
            1.7e308, .infinity, -.infinity, .nan, -1e7, 1800000000.123, 100000000.0,
            9_007_199_254_740_992, 0.30000000000000004,
        ]
        for (place, number) in numbers.enumerated() { values[["\(place)"]].set(number) }
        _ = registry.gauge("unused", help: "Never set.", labels: ["label"])
        let seconds = registry.histogram(
            "seconds", help: "Times.", bounds: [0.005, 0.5, 1, 2.5, 10_000_000])[[]]
        for value in [0.001, 0.005, 0.3, 1, 1.0000001, 99, 1e9] { seconds.observe(value) }
        let tokens = registry.histogram(
            "tokens", help: "Sizes.", labels: ["zone", "a"], bounds: [1, 2, 5])
        tokens[["z", "y"]].observe(2)
        tokens[["b", "x"]].observe(7)
        let bytes = registry.summary("bytes", help: "Bytes.", labels: ["handler"])
        bytes[["/v1/models/{id}"]].observe(12.5)
        bytes[["/v1/models/{id}"]].observe(3)
    }

    private func golden(_ name: String) throws -> String {
        String(decoding: try FileSystem.read(Fixtures.path("server/\(name)")), as: UTF8.self)
    }

    @Test func `metrics are printed as the Python client prints them`() throws {
        let registry = MetricsRegistry(showsCreation: false)
        fill(registry)
        #expect(registry.text == (try golden("metrics.txt")))
    }

    @Test func `times of creation are printed as the Python client prints them`() throws {
        let registry = MetricsRegistry()
        fill(registry)
        // The fixture has zeros in the place of times.
        let masked = registry.text.split(separator: "\n", omittingEmptySubsequences: false).map {
            line -> String in
            let name = line.prefix { $0 != " " && $0 != "{" }
            guard name.hasSuffix("_created"), let end = line.lastIndex(of: " ") else {
                return String(line)
            }
            return line[..<end] + " 0.0"
        }
        #expect(masked.joined(separator: "\n") == (try golden("metrics-created.txt")))
    }

    @Test func `numbers that make no sense are passed over`() {
        let registry = MetricsRegistry(showsCreation: false)
        let counter = registry.counter("c", help: "")[[]]
        counter.add(-1)
        counter.add(.nan)
        counter.add(.infinity)
        #expect(counter.value == 0)
        let histogram = registry.histogram("h", help: "", bounds: [1])[[]]
        histogram.observe(.nan)
        histogram.observe(.infinity)
        #expect(histogram.count == 1)
    }

    @Test func `threads count together`() async {
        let registry = MetricsRegistry(showsCreation: false)
        let family = registry.counter("c", help: "", labels: ["l"])
        let histogram = registry.histogram("h", help: "", bounds: [1, 2])[[]]
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<4 {
                group.addTask {
                    for round in 0..<5000 {
                        family[["\(round % 3)"]].add(1)
                        histogram.observe(Double(task))
                    }
                }
            }
        }
        #expect((0..<3).map { family[["\($0)"]].value }.reduce(0, +) == 20000)
        #expect(histogram.count == 20000)
        #expect(histogram.sum == 30000)
    }

    @Test func `the process tells of itself`() {
        let registry = MetricsRegistry()
        ProcessMetrics.register(registry)
        func value(_ name: String) -> Double? {
            registry.text.split(separator: "\n").first { $0.hasPrefix(name + " ") }
                .flatMap { Double($0.dropFirst(name.count + 1)) }
        }
        #expect((value("process_resident_memory_bytes") ?? 0) > 1_048_576.0)
        #expect(
            (value("process_virtual_memory_bytes") ?? 0)
                >= (value("process_resident_memory_bytes") ?? 1))
        #expect((value("process_cpu_seconds_total") ?? 0) > 0)
        #expect((value("process_open_fds") ?? 0) >= 3)
        #expect((value("process_max_fds") ?? 0) >= (value("process_open_fds") ?? 1))
        let age = UnixTime.now - (value("process_start_time_seconds") ?? 0)
        #expect(age > -2 && age < 24 * 3600)
    }
}
