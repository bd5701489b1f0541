// SPDX-License-Identifier: Apache-2.0
// What belongs to one rendering and can change: loops, macros, namespaces.

/// A macro with the names that it sees.
struct MacroInstance {
    let definition: MacroDefinition
    let scope: Scope
}

/// A loop at work.
struct LoopState {
    let items: [TemplateValue]
    /// Loops of the same recursion around this one.
    let level: Int
    /// The loop itself, when it may be called.
    let recursion: (loop: ForLoop, scope: Scope)?
    var index = 0
    /// What `changed` was last asked about.
    var seen: [TemplateValue]?
}

/// Values that are given one after the other, from the first again after the last.
struct CyclerState {
    let items: [TemplateValue]
    var place = 0
}

/// A separator that is left out the first time.
struct JoinerState {
    let separator: String
    var wasUsed = false
}
