// SPDX-License-Identifier: Apache-2.0
// What a template asks of its values, found without rendering it.

extension Template {
    /// Whether the template speaks of a name anywhere.
    package func mentions(_ name: String) -> Bool { names.contains(name) }

    /// Whether some loop goes through the entry `key` of something, or through a name that was set from one: then the
    /// entry is a list.
    package func loops(overEntry key: String) -> Bool {
        var search = EntryLoops(key: key)
        // Names may be set behind the loop that reads them, as in macros.
        search.look(at: statements)
        search.look(at: statements)
        return search.found
    }
}

/// A search for loops over an entry.
private struct EntryLoops {
    let key: String
    var found = false
    private var holders: Set<NameID> = []

    init(key: String) { self.key = key }

    /// Statements are nested no deeper than the parser allows.
    mutating func look(at statements: [Statement]) {
        for statement in statements {
            switch statement {
            case .choice(let branches, let otherwise):
                for branch in branches { look(at: branch.body) }
                look(at: otherwise)
            case .loop(let loop):
                if isEntry(loop.iterable) { found = true }
                look(at: loop.body)
                look(at: loop.otherwise)
            case .assign(.name(let id), let value, _):
                if isEntry(value) { holders.insert(id) }
            case .assignBlock(_, _, let body, _), .filterBlock(_, let body), .scoped(let body):
                look(at: body)
            case .macro(_, let definition), .callBlock(_, let definition):
                for parameter in definition.parameters where parameter.name == key {
                    holders.insert(parameter.id)
                }
                look(at: definition.body)
            case .with(let values, let body):
                for case (.name(let id), let value) in values where isEntry(value) {
                    holders.insert(id)
                }
                look(at: body)
            case .text, .print, .assign, .leaveLoop, .nextRound: break
            }
        }
    }

    private func isEntry(_ expression: Expression) -> Bool {
        switch expression.kind {
        case .attribute(_, let name): name == key
        case .item(_, let index):
            if case .constant(.string(let text)) = index.kind { text == key } else { false }
        case .name(let id): holders.contains(id)
        case .filter(let operand?, _, _): isEntry(operand)
        case .slice(let operand, _, _, _): isEntry(operand)
        default: false
        }
    }
}
