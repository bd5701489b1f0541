// SPDX-License-Identifier: Apache-2.0
// The names that a part of a template sees.

/// Names and their values; what is not found here is looked for in the scope around it.
final class Scope {
    private var values: [(id: NameID, value: TemplateValue)] = []
    private let parent: Scope?

    init(inside parent: Scope?) { self.parent = parent }

    /// The value of a name here or around.
    func value(of id: NameID) -> TemplateValue? {
        var scope: Scope? = self
        while let here = scope {
            for entry in here.values where entry.id == id { return entry.value }
            scope = here.parent
        }
        return nil
    }

    /// Sets a name in this scope.
    func set(_ id: NameID, _ value: TemplateValue) {
        for place in values.indices where values[place].id == id {
            values[place].value = value
            return
        }
        values.append((id, value))
    }
}
