// SPDX-License-Identifier: Apache-2.0
// How much a template may do before its rendering is given up.

/// Bounds of one rendering, so that no template and no argument can hold up or exhaust the program.
package struct TemplateLimits: Sendable, Hashable {
    /// Expressions and statements evaluated, list items, each 4 bytes of text worked on and each 32 bytes copied or
    /// compared. Ten millions take a few seconds.
    package var steps = 10_000_000
    /// Expressions, statements and calls that may lie within each other.
    package var depth = 300
    /// Bytes of the rendered text.
    package var outputBytes = 16 << 20
    /// Bytes of one text or list.
    package var valueBytes = 16 << 20
    /// Bytes of all texts and lists made during a rendering, together.
    package var producedBytes = 256 << 20

    /// The limits of a server that renders for strangers.
    package init() {}

    /// Bytes of a template's own text.
    static let sourceBytes = 4 << 20
    /// Deepest nesting of parentheses and of statements in a template.
    static let nesting = 64
    /// Greatest height of an expression's tree; long sums and chains of filters count too.
    static let expressionHeight = 200
    /// Bytes that an item of a list and an entry of a mapping are counted as.
    static let itemBytes = 40
    static let entryBytes = 96
    /// Deepest nesting of lists and mappings in a value.
    static let valueDepth = 256
    /// Items of a `range`, as Jinja's sandbox has it.
    static let rangeItems = 100_000
    /// Greatest precision or width in a format.
    static let formatWidth = 4096
}
