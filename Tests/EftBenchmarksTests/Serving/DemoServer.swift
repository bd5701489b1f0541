// SPDX-License-Identifier: Apache-2.0
// Servers for the client to meet: the demo's model, and one that says what it is told.
import EftBenchmarks
import EftGeneration
import EftModels
import EftServer
import EftTensor
import EftTestSupport
import EftTokenizers
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// The demo's model behind a server of this process.
final class DemoServer {
    private let server: HTTPServer
    private let model: ServedModel
    let target: ServerTarget

    init(keys: [String] = [], template: String? = nil) throws {
        let path = Fixtures.packageRoot + "/Examples/demo/model"
        let folder = try ModelFolder.open(path)
        let decoder = try DecoderLoader(folder: folder).load(backend: CPUBackend(threads: 2))
        let need = GenerationNeed(
            contextLength: 256, sequences: 4, prefillChunk: 64, cachePages: 64, logitRows: 4)
        let core = try EngineCore(
            decoder: decoder, need: need,
            configuration: EngineConfiguration(
                maxModelLength: 256, maxSequences: 4, maxBatchedTokens: 64))
        let tokenizer = try Tokenizer.load(folder: path)
        let registry = MetricsRegistry()
        model = try ServedModel(
            core: core, tokenizer: tokenizer,
            templates: template.map {
                try ChatTemplates.single($0, file: "template", folder: path)
            },
            constraints: ConstraintCache(
                ConstraintVocabulary(tokenizer, size: folder.description.vocabulary)),
            options: ServedModelOptions(names: ["demo"], root: path, created: 0),
            metrics: EngineMetrics(registry, modelName: "demo", maximumLength: 256))
        var context = ServerContext(version: "0", registry: registry)
        context.model = model
        var rules = ApplicationOptions()
        rules.keys = APIKeys(keys)
        var options = ServerOptions()
        options.address = .tcp(host: "127.0.0.1", port: 0)
        server = try HTTPServer(
            Application(routes: RouteRegistry.routes(context), options: rules), options)
        guard case .tcp(let host, let port) = server.address else {
            throw HTTPClientError(.address, "no port")
        }
        target = ServerTarget(host: host, port: port)
    }

    deinit {
        model.stop()
        server.stop(within: .zero)
    }
}

/// A server that takes a request, answers with given bytes, piece by piece, and closes; or says nothing at all.
final class ScriptedServer {
    let target: ServerTarget
    private let listener: Int32
    private let thread: WorkerThread

    /// - Parameter answers: what each connection is told, in order; the last one for all that follow. Nil for silence.
    init(_ answers: [[String]?]) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = bind(listener, $0, size)
                _ = listen(listener, 64)
                _ = getsockname(listener, $0, &size)
            }
        }
        self.listener = listener
        target = ServerTarget(host: "127.0.0.1", port: UInt16(bigEndian: address.sin_port))
        thread = try WorkerThread { ScriptedServer.serve(listener, answers) }
    }

    deinit {
        // Wakes the thread out of accept.
        shutdown(listener, Int32(SHUT_RDWR))
        thread.join()
        close(listener)
    }

    private static func serve(_ listener: Int32, _ answers: [[String]?]) {
        var silent: [Int32] = []
        defer { for descriptor in silent { close(descriptor) } }
        var count = 0
        while true {
            let descriptor = accept(listener, nil, nil)
            guard descriptor >= 0 else { return }
            let answer = answers[min(count, answers.count - 1)]
            count += 1
            guard let answer else {
                silent.append(descriptor)
                continue
            }
            readRequest(descriptor)
            for piece in answer {
                _ = piece.withCString { send(descriptor, $0, strlen($0), Int32(MSG_NOSIGNAL)) }
                usleep(1000)
            }
            close(descriptor)
        }
    }

    /// Reads the head and as much body as it states, so that closing is no reset.
    private static func readRequest(_ descriptor: Int32) {
        var text = ""
        var bytes = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = recv(descriptor, &bytes, bytes.count, 0)
            guard count > 0 else { return }
            text += String(decoding: bytes.prefix(count), as: UTF8.self)
            guard let end = text.firstRange(of: "\r\n\r\n") else { continue }
            let body = text[end.upperBound...].utf8.count
            let length =
                text.split(separator: "\r\n").lazy
                .compactMap { line -> Int? in
                    line.hasPrefix("Content-Length: ") ? Int(line.dropFirst(16)) : nil
                }.first ?? 0
            if body >= length { return }
        }
    }
}
