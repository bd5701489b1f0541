// SPDX-License-Identifier: Apache-2.0
// Which groups of pages are resident, and since when nobody uses them.

/// Groups of consecutive pages that become resident and are given back together.
struct PageGroups: Sendable {
    private struct Group {
        /// Pages with a user.
        var used = 0
        var isResident = false
        /// When a page was left the last time.
        var left: ContinuousClock.Instant
    }

    private let pageCount: Int
    private let groupSize: Int
    private var groups: [Group]
    /// Groups that are not resident, the next one to be taken at the end.
    private var cold: [Int]
    /// Pages of the groups that are not resident.
    private(set) var coldPages: Int

    /// Groups of which none is resident.
    init(pageCount: Int, groupSize: Int) {
        precondition(pageCount >= 0 && groupSize > 0, "groups have pages")
        self.pageCount = pageCount
        self.groupSize = groupSize
        let count = (pageCount + groupSize - 1) / groupSize
        groups = Array(repeating: Group(left: .now), count: count)
        cold = Array((0..<count).reversed())
        coldPages = pageCount
    }

    private func pages(_ group: Int) -> Range<Int> {
        group * groupSize..<min((group + 1) * groupSize, pageCount)
    }

    /// A page without a user is taken.
    mutating func took(_ page: Int) { groups[page / groupSize].used += 1 }

    /// The last user has left a page.
    mutating func left(_ page: Int, _ now: ContinuousClock.Instant) {
        groups[page / groupSize].used -= 1
        groups[page / groupSize].left = now
    }

    /// Makes the first group that is not resident so.
    /// - Returns: its pages; nil when all are.
    mutating func warmUp() -> Range<Int>? {
        guard let group = cold.popLast() else { return nil }
        groups[group].isResident = true
        coldPages -= pages(group).count
        return pages(group)
    }

    /// Lets the groups go of which no page was used since a time.
    /// - Returns: the pages of each.
    mutating func coolDown(unusedSince time: ContinuousClock.Instant) -> [Range<Int>] {
        let leaving = groups.indices.filter {
            groups[$0].isResident && groups[$0].used == 0 && groups[$0].left <= time
        }
        guard !leaving.isEmpty else { return [] }
        for group in leaving {
            groups[group].isResident = false
            coldPages += pages(group).count
        }
        cold = (cold + leaving).sorted(by: >)
        return leaving.map(pages)
    }

    /// When the group was left that nobody has used for the longest time; nil when there is none.
    var oldestLeave: ContinuousClock.Instant? {
        groups.lazy.filter { $0.isResident && $0.used == 0 }.map(\.left).min()
    }
}
