// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftServer
import Testing

/// The document at `/openapi.json`.
struct OpenAPITests {
    private func document(_ context: ServerContext) throws -> ConfigNode {
        let server = try TestServer(.router, routes: RouteRegistry.routes(context))
        let response = try server.send(TestRequest("GET", "/openapi.json"))
        #expect(response.status == 200)
        return try #require(response.json)
    }

    @Test func `every route is described with each of its methods`() throws {
        let context = try DemoServer().context
        let document = try document(context)
        var described = 0
        for route in RouteRegistry.routes(context) {
            let path = route.path.filter { $0 != "*" }
            for method in route.methods {
                let operation = document["paths", path, method.lowercased()]
                #expect(operation?["summary"] != nil, "\(method) \(path)")
                #expect(operation?["responses", "200"] != nil, "\(method) \(path)")
                described += 1
            }
        }
        let listed = document["paths"]?.fields.flatMap { $0.node.fields } ?? []
        #expect(listed.count == described)
        let names = listed.compactMap { $0.node["operationId"]?.text }
        #expect(Set(names).count == described)
    }

    @Test func `only routes that the server has are described`() throws {
        let document = try document(ServerContext(version: "1", registry: MetricsRegistry()))
        #expect(document["paths", "/health"] != nil)
        #expect(document["paths", "/v1/completions"] == nil)
    }

    @Test func `every reference leads to something`() throws {
        let document = try document(try DemoServer().context)
        let references = document.references(depth: 64)
        #expect(references.count > 50)
        for reference in references {
            let parts = reference.split(separator: "/").map(String.init)
            #expect(parts.first == "#")
            #expect(document.find(parts.dropFirst()) != nil, "\(reference)")
        }
    }

    @Test func `keys are asked for where the server has some`() throws {
        var context = try DemoServer().context
        let open = try document(context)
        #expect(open["components", "securitySchemes"] == nil)
        #expect(open["security"] == nil)
        context.needsKey = true
        let keyed = try document(context)
        #expect(keyed["components", "securitySchemes", "key", "scheme"] == "bearer")
        #expect(keyed["security"] == [["key": []]])
        #expect(keyed["paths", "/version", "get", "responses", "401"] != nil)
        #expect(keyed["paths", "/version", "get", "security"] == nil)
        #expect(keyed["paths", "/health", "get", "security"] == [])
        #expect(keyed["paths", "/health", "get", "responses", "401"] == nil)
    }

    @Test func `limits are those of the server`() throws {
        let context = try DemoServer().context
        let schemas = try #require(try document(context)["components", "schemas"])
        let limits = RequestLimits()
        let fields = schemas["CompletionRequest", "properties"]
        #expect(fields?["n", "maximum"] == ConfigNode(limits.samples))
        #expect(fields?["logprobs", "maximum"] == ConfigNode(limits.logprobs))
        #expect(fields?["cache_salt", "maxLength"] == ConfigNode(limits.saltLength))
        #expect(fields?["model", "enum"] == ["demo", "alias", .null])
    }
}

extension ConfigNode {
    /// The entries of a mapping; none of anything else.
    fileprivate var fields: [(key: String, node: ConfigNode)] {
        guard case .object(let object) = value else { return [] }
        return object.entries
    }

    fileprivate var text: String? {
        guard case .string(let text) = value else { return nil }
        return text
    }

    fileprivate subscript(_ keys: String...) -> ConfigNode? { find(keys[...]) }

    fileprivate func find(_ keys: ArraySlice<String>) -> ConfigNode? {
        keys.reduce(self as ConfigNode?) { node, key in
            node?.fields.first { $0.key == key }?.node
        }
    }

    /// All `$ref` within.
    fileprivate func references(depth: Int) -> [String] {
        guard depth > 0 else { return [] }
        if case .array(let items) = value {
            return items.flatMap { $0.references(depth: depth - 1) }
        }
        return fields.flatMap { key, node in
            key == "$ref" ? [node.text ?? ""] : node.references(depth: depth - 1)
        }
    }
}
