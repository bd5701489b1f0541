// SPDX-License-Identifier: Apache-2.0
// How long pages hold their contents, and how long nobody asks for them.

/// What happened to pages since it was last asked.
package struct PageEvents: Sendable {
    /// A content that had to make room.
    package struct Eviction: Sendable {
        /// From the page's first use for it.
        package let lifetime: Duration
        /// From the last one.
        package let idle: Duration
    }

    /// Contents that had to make room.
    package var evictions: [Eviction] = []
    /// For each page that was found again, how long nobody had asked for it.
    package var reuses: [Duration] = []

    /// Nothing happened.
    package init() {}
}

/// Times of pages.
struct PageHistory: Sendable {
    private var begun: [ContinuousClock.Instant]
    private var used: [ContinuousClock.Instant]
    private var events = PageEvents()

    init(pageCount: Int) {
        begun = Array(repeating: .now, count: pageCount)
        used = begun
    }

    /// A page is taken for new contents.
    mutating func took(_ page: Int, evicting: Bool) {
        let now = ContinuousClock.now
        if evicting { evicted(page, now) }
        begun[page] = now
        used[page] = now
    }

    /// A page's content is dropped.
    mutating func evicted(_ page: Int, _ now: ContinuousClock.Instant = .now) {
        events.evictions.append(
            PageEvents.Eviction(lifetime: now - begun[page], idle: now - used[page]))
    }

    /// A page's content is used once more.
    mutating func found(_ page: Int) {
        let now = ContinuousClock.now
        events.reuses.append(now - used[page])
        used[page] = now
    }

    /// The last user has left a page.
    mutating func left(_ page: Int) { used[page] = .now }

    mutating func take() -> PageEvents {
        defer { events = PageEvents() }
        return events
    }
}
