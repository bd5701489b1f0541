// SPDX-License-Identifier: Apache-2.0
// Models and data sets by their names on the hub, with progress on the terminal.
import EftCommandLine
import EftFormats
import EftHub
import EftTensor

/// Finds models by name in the cache of Hugging Face, and fetches those that are not there.
struct HubModels: ModelSource {
    /// Where the hub and its cache are.
    let settings: HubSettings
    private let arguments: ParsedArguments
    private let reporter: ProgressReporter

    /// - Parameters:
    ///   - arguments: the command line, whose budget what is fetched has to fit.
    ///   - reporter: shows what is fetched; progress on standard error when nil.
    init(
        _ arguments: ParsedArguments, reporter: ProgressReporter? = nil,
        settings: HubSettings = .ofUser
    ) {
        self.settings = settings
        self.arguments = arguments
        self.reporter = reporter ?? CommonOptions.progress(arguments)
    }

    /// Fetches with progress, until the user stops it.
    var fetcher: HubFetcher {
        var fetcher = HubFetcher(settings)
        let display = FetchDisplay(reporter)
        fetcher.onProgress = { display.show($0, $1) }
        fetcher.onNote = { [reporter] in reporter.note("note: \($0)") }
        fetcher.shouldStop = { InterruptFlag.isRaised }
        return fetcher
    }

    func isName(_ text: String) -> Bool { HubName(text) != nil }

    func cached(_ name: String) -> String? { HubName(name).flatMap(fetcher.cachedModel) }

    func model(_ name: String) throws -> String? {
        guard let name = HubName(name) else { return nil }
        defer { reporter.clear() }
        let fetcher = fetcher
        if settings.offlineVariable == nil, fetcher.cachedModel(name) == nil {
            try HubBudget.require(fetcher, name, arguments)
        }
        return try fetcher.model(name)
    }

    /// The folder of a tokenizer; a text that is an existing path or no name as it is.
    func tokenizer(_ text: String) throws -> String {
        guard !FileSystem.exists(text), let name = HubName(text) else { return text }
        defer { reporter.clear() }
        return try fetcher.texts(name)
    }

    /// The files of a text to score: the file that is named, or those of a data set of the hub.
    func texts(_ data: String) throws -> [String] {
        guard !FileSystem.exists(data), DataRows.form(of: data) == nil,
            HubName(data, kind: .dataset) != nil
        else { return [data] }
        defer { reporter.clear() }
        return try HubDatasets.files(toScore: data, fetcher)
    }

    /// A model without its weights, for planning; nil for what is on this machine or no name.
    func skeleton(_ text: String) throws -> HubSkeleton? {
        var looking = arguments
        looking.source = self
        guard ModelLocation(looking).isElsewhere(text), let name = HubName(text) else { return nil }
        defer { reporter.clear() }
        let skeleton = try fetcher.skeleton(name)
        reporter.note(
            "note: \(name) is not on this machine; its files have \(formatBytes(skeleton.byteCount))"
        )
        return skeleton
    }
}

/// Shows how far a download has come.
private final class FetchDisplay: Sendable {
    private let reporter: ProgressReporter
    private let rate = Monitor(DownloadRate())

    init(_ reporter: ProgressReporter) { self.reporter = reporter }

    func show(_ name: String, _ progress: HubProgress) {
        let speed = rate.withLock { $0.add(progress.fetchedBytes) }
        let share = progress.allBytes > 0 ? Double(progress.bytes) / Double(progress.allBytes) : 1
        let isChecking = progress.bytes >= progress.allBytes && progress.files < progress.allFiles
        let parts = { () -> [String] in
            var parts = ["\(formatBytes(progress.bytes)) of \(formatBytes(progress.allBytes))"]
            if let speed, speed >= 1, !isChecking {
                parts.append("\(formatBytes(Int(min(speed, 1e15))))/s")
                let rest = Double(progress.allBytes - progress.bytes) / speed
                parts.append("\(formatDuration(rest)) left")
            }
            if progress.allFiles > 1 {
                parts.append("\(progress.files) of \(progress.allFiles) files")
            }
            return parts
        }
        reporter.update(
            isChecking ? "checking \(name)" : "fetching \(name)", share: share, parts: parts())
    }
}

/// Bytes a second, over the last some seconds.
private struct DownloadRate {
    private var samples: [(time: ContinuousClock.Instant, bytes: Int)] = []

    /// Adds a sample; nil while there are too few.
    mutating func add(_ bytes: Int) -> Double? {
        let now = ContinuousClock.now
        // Another download begins at no bytes.
        if let last = samples.last, bytes < last.bytes { samples = [] }
        samples.append((now, bytes))
        samples.removeAll { now - $0.time > .seconds(5) }
        guard let first = samples.first else { return nil }
        let seconds = (now - first.time).seconds
        return seconds > 0.5 ? Double(bytes - first.bytes) / seconds : nil
    }
}
