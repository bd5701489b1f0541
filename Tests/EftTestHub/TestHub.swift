// SPDX-License-Identifier: Apache-2.0
// A hub of the tests' own: repositories over HTTPS, large files on another host, and faults as a test orders them.
import EftConfig
import EftFormats
@testable import EftHub
import EftServer
import EftTensor
import EftTestSupport

#if canImport(Glibc)
    import Glibc
#endif

/// A hub, and the host on which it keeps large files.
package final class TestHub: Sendable {
    /// A file of a repository.
    package struct File: Sendable {
        package let path: String
        package let bytes: [UInt8]
        /// Whether it is in large file storage.
        package let isLarge: Bool

        package init(_ path: String, _ bytes: [UInt8], isLarge: Bool = false) {
            self.path = path
            self.bytes = bytes
            self.isLarge = isLarge
        }

        package init(_ path: String, _ text: String) { self.init(path, Array(text.utf8)) }

        package var sha256: String { SHA256.digest(bytes).hex }

        package var gitDigest: String {
            var sum = SHA1()
            sum.update(Array("blob \(bytes.count)\0".utf8) + bytes)
            return sum.finish()
        }

        package var digest: String { isLarge ? sha256 : gitDigest }
    }

    /// A request that came.
    package struct Visit: Sendable {
        /// Whether it came to the host of large files.
        package let isStorage: Bool
        package let method: String
        package let path: String
        package let range: String?
        package let authorization: String?
    }

    /// What goes wrong with the bytes of a file, by its path.
    package enum Fault: Sendable {
        /// The connection breaks after some bytes.
        case cut(after: Int)
        /// No more bytes come after these, until the hub goes away.
        case hold(after: Int)
        /// Another byte in the middle.
        case altered
        /// A status, with fields.
        case status(Int, [String: String])
        /// The whole file, whatever range is asked for.
        case noRanges
        /// Other bytes than those that were asked for.
        case otherRange
    }

    private struct State {
        var files: [String: [File]] = [:]
        var commits: [String: String] = [:]
        var tokens: [String: String] = [:]
        var faults: [String: [Fault]] = [:]
        var visits: [Visit] = []
        var held: [ResponseStream] = []
        var listing: (@Sendable (ConfigObject) -> ConfigObject)?
    }

    private let state = Monitor(State())
    private let folder: TemporaryFolder
    private let main: HTTPServer
    private let storage: HTTPServer

    /// Starts a hub without repositories.
    package init() throws {
        // A proxy of the user's does not know this machine by that name.
        setenv("no_proxy", "localhost,127.0.0.1", 1)
        folder = try TemporaryFolder("hub")
        try folder.write("certificate.pem", HubCertificate.certificate)
        let state = state
        storage = try Self.server([
            HubRoute("/{digest}/{path*}") { request, responder in
                Self.give(request, responder, state, isStorage: true)
            }
        ])
        let place = "https://127.0.0.1:\(Self.port(storage))"
        main = try Self.server(
            ["models", "datasets"].flatMap { kind -> [HubRoute] in
                let prefix = kind == "models" ? "" : "/datasets"
                return [
                    HubRoute("/api/\(kind)/{owner}/{name}/revision/{revision}") {
                        Self.list($0, $1, state, kind: kind)
                    },
                    HubRoute("\(prefix)/{owner}/{name}/resolve/{commit}/{path*}") {
                        Self.resolve($0, $1, state, kind: kind, storage: place)
                    },
                ]
            } + [
                HubRoute("/cached/{digest}/{path*}") { request, responder in
                    Self.give(request, responder, state, isStorage: false)
                }
            ])
    }

    deinit {
        state.withLock { $0.held = [] }
        main.stop(within: .zero)
        storage.stop(within: .zero)
    }

    private static func server(_ routes: [HubRoute]) throws -> HTTPServer {
        var options = ServerOptions()
        options.address = .tcp(host: "127.0.0.1", port: 0)
        options.secrets = ServerOptions.Secrets(
            certificate: HubCertificate.certificate, key: HubCertificate.key)
        return try HTTPServer(Application(routes: routes), options)
    }

    private static func port(_ server: HTTPServer) -> UInt16 {
        if case .tcp(_, let port) = server.address { port } else { 0 }
    }

    /// The hub's address.
    package var endpoint: String { "https://localhost:\(Self.port(main))" }

    /// The file of its certificate.
    package var certificates: String { folder.file("certificate.pem") }

    // MARK: What it holds

    /// Adds a repository, or gives it a new commit.
    /// - Returns: the commit.
    @discardableResult
    package func add(_ id: String, kind: HubRepository.Kind = .model, _ files: [File]) -> String {
        var sum = SHA1()
        for file in files { sum.update(Array("\(file.path) \(file.digest)\n".utf8)) }
        let commit = sum.finish()
        let key = "\(kind.rawValue)s/\(id)"
        state.withLock { state in
            state.files["\(key)@\(commit)"] = files
            state.commits["\(key)@main"] = commit
            state.commits["\(key)@\(commit)"] = commit
        }
        return commit
    }

    /// Gives a branch or tag to a repository's newest commit.
    package func tag(_ id: String, _ name: String, kind: HubRepository.Kind = .model) {
        let key = "\(kind.rawValue)s/\(id)"
        state.withLock { $0.commits["\(key)@\(name)"] = $0.commits["\(key)@main"] }
    }

    /// Gives a repository only to those who send a token.
    package func protect(_ id: String, token: String) { state.withLock { $0.tokens[id] = token } }

    /// Orders faults for the next requests of a file's bytes, or of the list of files where no path is given.
    package func fault(_ path: String = "", _ faults: Fault...) {
        state.withLock { $0.faults[path, default: []] += faults }
    }

    /// Changes the lists of files that it gives.
    package func changeListing(_ change: @escaping @Sendable (ConfigObject) -> ConfigObject) {
        state.withLock { $0.listing = change }
    }

    /// The requests that came.
    package var visits: [Visit] { state.withLock { $0.visits } }

    /// Forgets requests, faults and what it holds back.
    package func forget() {
        state.withLock { state in
            state.visits = []
            state.faults = [:]
            state.held = []
        }
    }

    // MARK: Answers

    private static func note(
        _ request: Request, _ state: inout State, isStorage: Bool
    ) {
        state.visits.append(
            Visit(
                isStorage: isStorage, method: request.method, path: request.target.path,
                range: request.fields["Range"], authorization: request.fields["Authorization"]))
    }

    private static func failure(_ status: Int, _ fields: [String: String]) -> Response {
        var response = Response.text("no", status: status)
        for (name, value) in fields { response.fields.set(name, value) }
        return response
    }

    private static func id(_ request: Request) -> String {
        "\(request.captures["owner"] ?? "")/\(request.captures["name"] ?? "")"
    }

    private static func list(
        _ request: Request, _ responder: Responder, _ state: Monitor<State>, kind: String
    ) {
        let response = state.withLock { state -> Response in
            note(request, &state, isStorage: false)
            if case .status(let status, let fields)? = state.faults[""]?.first {
                state.faults[""]?.removeFirst()
                return failure(status, fields)
            }
            let id = id(request)
            let key = "\(kind)/\(id)@\(request.captures["revision"] ?? "")"
            if let token = state.tokens[id], request.fields["Authorization"] != "Bearer \(token)" {
                return failure(401, ["X-Error-Code": "RepoNotFound"])
            }
            guard let commit = state.commits[key],
                let files = state.files["\(kind)/\(id)@\(commit)"]
            else { return failure(404, ["X-Error-Code": "RevisionNotFound"]) }
            var object = ConfigObject()
            object["id"] = ConfigNode(id)
            object["sha"] = ConfigNode(commit)
            object["siblings"] = ConfigNode(.array(files.map(sibling)))
            return .json(ConfigNode(state.listing?(object) ?? object))
        }
        responder.respond(response)
    }

    private static func sibling(_ file: File) -> ConfigNode {
        var object = ConfigObject()
        object["rfilename"] = ConfigNode(file.path)
        object["size"] = ConfigNode(file.bytes.count)
        object["blobId"] = ConfigNode(file.gitDigest)
        if file.isLarge {
            object["lfs"] = [
                "sha256": ConfigNode(file.sha256), "size": ConfigNode(file.bytes.count),
                "pointerSize": ConfigNode(134),
            ]
        }
        return ConfigNode(object)
    }

    /// Leads to where the bytes of a file are.
    private static func resolve(
        _ request: Request, _ responder: Responder, _ state: Monitor<State>, kind: String,
        storage: String
    ) {
        let response = state.withLock { state -> Response in
            note(request, &state, isStorage: false)
            let id = id(request)
            if let token = state.tokens[id], request.fields["Authorization"] != "Bearer \(token)" {
                return failure(401, ["X-Error-Code": "RepoNotFound"])
            }
            let path = request.captures["path"] ?? ""
            let commit = request.captures["commit"] ?? ""
            guard
                let file = state.files["\(kind)/\(id)@\(commit)"]?.first(where: { $0.path == path })
            else { return failure(404, ["X-Error-Code": "EntryNotFound"]) }
            var fields: HeaderFields = [
                "X-Repo-Commit": commit, "X-Linked-Size": "\(file.bytes.count)",
                "X-Linked-ETag": "\"\(file.digest)\"",
            ]
            let name = HubClient.escaped(path, keepsSlashes: true)
            let place = "\(file.digest)/\(name)?kind=\(kind)&id=\(id)&commit=\(commit)"
            fields.set("Location", file.isLarge ? "\(storage)/\(place)" : "/cached/\(place)")
            return Response(status: file.isLarge ? 302 : 307, fields: fields)
        }
        responder.respond(response)
    }

    /// Gives the bytes of a file, or a range of them.
    private static func give(
        _ request: Request, _ responder: Responder, _ state: Monitor<State>, isStorage: Bool
    ) {
        let (file, fault) = state.withLock { state -> (File?, Fault?) in
            note(request, &state, isStorage: isStorage)
            let target = request.target
            let key = "\(target["kind"] ?? "")/\(target["id"] ?? "")@\(target["commit"] ?? "")"
            let path = request.captures["path"] ?? ""
            let file = state.files[key]?.first { $0.path == path }
            guard request.method == "GET", var faults = state.faults[path], !faults.isEmpty else {
                return (file, nil)
            }
            let fault = faults.removeFirst()
            state.faults[path] = faults
            return (file, fault)
        }
        guard let file else {
            responder.respond(failure(404, [:]))
            return
        }
        let bytes = file.bytes
        if case .status(let status, let fields)? = fault {
            responder.respond(failure(status, fields))
            return
        }
        var range = range(request.fields["Range"], count: bytes.count)
        if case .noRanges? = fault { range = nil }
        var part = Array(range.map { bytes[$0] } ?? bytes[...])
        if case .altered? = fault, !part.isEmpty { part[part.count / 2] ^= 1 }
        var fields: HeaderFields = ["Content-Type": "application/octet-stream"]
        if let range {
            let start =
                if case .otherRange? = fault { range.lowerBound + 1 } else { range.lowerBound }
            fields.set("Content-Range", "bytes \(start)-\(range.upperBound - 1)/\(bytes.count)")
        }
        let status = range == nil ? 200 : 206
        switch fault {
        case .cut(let count)?:
            let stream = responder.stream(status: status, fields: fields)
            stream.write(part.prefix(count))
            // What has been written should arrive before the connection breaks.
            let thread = try? WorkerThread {
                usleep(50_000)
                _ = stream.isOpen
            }
            thread?.detach()
        case .hold(let count)?:
            let stream = responder.stream(status: status, fields: fields)
            stream.write(part.prefix(count))
            state.withLock { $0.held.append(stream) }
        default:
            responder.respond(Response(status: status, fields: fields, body: part))
        }
    }

    private static func range(_ text: String?, count: Int) -> Range<Int>? {
        guard let text, text.hasPrefix("bytes=") else { return nil }
        let ends = text.dropFirst("bytes=".count).split(separator: "-").compactMap { Int($0) }
        guard ends.count == 2, ends[0] <= ends[1], ends[0] < count else { return nil }
        return ends[0]..<min(ends[1] + 1, count)
    }
}

/// A path of the hub, open to all.
private struct HubRoute: Route {
    let methods = ["GET"]
    let access = RouteAccess.open
    let body = RouteBody.ignored
    let path: String
    let action: @Sendable (Request, Responder) -> Void

    init(_ path: String, _ action: @escaping @Sendable (Request, Responder) -> Void) {
        self.path = path
        self.action = action
    }

    func handle(_ request: Request, _ responder: Responder) throws { action(request, responder) }
}
