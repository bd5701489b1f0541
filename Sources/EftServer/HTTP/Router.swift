// SPDX-License-Identifier: Apache-2.0
// From a method and a path to the route that serves them.

/// The routes of a server.
package struct Router: Sendable {
    /// A route, with what stood in the places of its path.
    package struct Match: Sendable {
        /// The route.
        package let route: any Route
        /// Parts of the path by their names.
        package let captures: [String: String]
    }

    /// What is served at a path.
    package enum Outcome: Sendable {
        case found(Match)
        /// The path is served, but only by these methods.
        case otherMethods([String])
        case missing
    }

    private enum Part: Sendable {
        case literal(String)
        case capture(String)
        case rest(String)
    }

    private let entries: [(route: any Route, parts: [Part])]

    /// Makes a router. Of routes that fit a path, the one with the fewest open places is taken.
    package init(_ routes: [any Route]) {
        let entries = routes.map { (route: $0, parts: Router.parts(of: $0.path)) }
        self.entries = entries.sorted { Router.openness($0.parts) < Router.openness($1.parts) }
    }

    /// Looks a request up.
    package func match(_ method: String, _ segments: [String]) -> Outcome {
        var methods: [String] = []
        for entry in entries {
            guard let captures = Router.captures(entry.parts, segments) else { continue }
            // The head of an answer to GET, which is all that the connection carries then.
            let served =
                entry.route.methods + (entry.route.methods.contains("GET") ? ["HEAD"] : [])
            if served.contains(method) {
                return .found(Match(route: entry.route, captures: captures))
            }
            methods += served
        }
        return methods.isEmpty ? .missing : .otherMethods(Array(Set(methods)).sorted())
    }

    private static func parts(of path: String) -> [Part] {
        path.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map { part in
            guard part.hasPrefix("{"), part.hasSuffix("}") else { return .literal(String(part)) }
            let name = part.dropFirst().dropLast()
            return name.hasSuffix("*") ? .rest(String(name.dropLast())) : .capture(String(name))
        }
    }

    private static func openness(_ parts: [Part]) -> Int {
        parts.reduce(0) { sum, part in
            switch part {
            case .literal: sum
            case .capture: sum + 1
            case .rest: sum + 1000
            }
        }
    }

    private static func captures(_ parts: [Part], _ segments: [String]) -> [String: String]? {
        var captures: [String: String] = [:]
        var rest = segments[...]
        for part in parts {
            guard let segment = rest.first else { return nil }
            switch part {
            case .literal(let text):
                // Byte by byte: Swift would hold two spellings of an accent for equal.
                guard text.utf8.elementsEqual(segment.utf8) else { return nil }
            case .capture(let name):
                guard !segment.isEmpty else { return nil }
                captures[name] = segment
            case .rest(let name):
                captures[name] = rest.joined(separator: "/")
                return captures
            }
            rest.removeFirst()
        }
        return rest.isEmpty ? captures : nil
    }
}
