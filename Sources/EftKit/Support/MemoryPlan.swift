// SPDX-License-Identifier: Apache-2.0
// What a piece of work will hold in memory, stated before it begins.
import EftPlanning
import EftTensor

/// The memory that a piece of work needs: an upper bound, by purpose.
public struct MemoryPlan: Sendable, Hashable, CustomStringConvertible {
    /// What one purpose takes.
    public struct Item: Sendable, Hashable {
        /// Such as "weights" or "KV cache".
        public let purpose: String
        /// Bytes on all devices together.
        public let bytes: Int
    }

    /// The work.
    public let name: String
    /// What each purpose takes, the program itself included.
    public let items: [Item]
    /// Most bytes that are held at a time.
    public let totalBytes: Int
    /// Most bytes that may be held, for each device.
    public let limits: [Int]
    /// Whether the work fits its limits. Work that does not fit is refused before it begins.
    public let fits: Bool
    /// Bytes that are written to disk.
    public let diskBytes: Int
    /// Layers that are read from disk in each pass, whole or the experts that are chosen, because they do not fit in memory.
    public let streamedLayers: Int
    /// What would make work fit that does not; nil when it fits or nothing was found.
    public let remedy: String?

    init(_ stage: StagePlan, limits: [Int]) {
        name = stage.name
        items = MemoryPurpose.allCases.filter { stage.memory[$0] > 0 }
            .map { Item(purpose: $0.rawValue, bytes: stage.memory[$0]) }
        totalBytes = stage.peak
        self.limits = limits
        fits = stage.fits(limits)
        diskBytes = stage.disk
        streamedLayers = stage.placement?.streamed.count ?? 0
        remedy = stage.remedy
    }

    /// The plan in a line.
    public var description: String {
        let parts = items.map { "\($0.purpose) \(formatBytes($0.bytes))" }.joined(separator: ", ")
        let bounds = limits.map(formatBytes).joined(separator: " + ")
        return "\(name): \(formatBytes(totalBytes)) of \(bounds) (\(parts))"
    }

    /// - Throws: `EftError` (`doesNotFit`) when the work does not fit.
    func requireFit() throws(EftError) {
        guard !fits else { return }
        let advice = remedy.map { "; what would fit: \($0)" } ?? ""
        throw EftError(.doesNotFit, "the work does not fit: \(description)\(advice)")
    }
}
