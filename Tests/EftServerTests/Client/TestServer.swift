// SPDX-License-Identifier: Apache-2.0
// The same requests, in process and over a socket.
import EftServer
import EftTensor

/// How a test's requests reach the application.
enum Transport: CaseIterable, Sendable {
    /// Called directly.
    case router
    /// Over a socket.
    case live
}

/// A request of a test.
struct TestRequest {
    var method: String
    var target: String
    var fields: HeaderFields
    var body: [UInt8]

    init(
        _ method: String, _ target: String, fields: HeaderFields = [:], body: String? = nil,
        type: String? = "application/json"
    ) {
        self.method = method
        self.target = target
        self.fields = fields
        self.body = body.map { Array($0.utf8) } ?? []
        if body != nil, let type { self.fields.set("Content-Type", type) }
    }

    /// The request as it is sent.
    var bytes: [UInt8] {
        var text = "\(method) \(target) HTTP/1.1\r\nHost: test\r\n"
        for field in fields.entries { text += "\(field.name): \(field.value)\r\n" }
        if !body.isEmpty { text += "Content-Length: \(body.count)\r\n" }
        return Array((text + "\r\n").utf8) + body
    }
}

/// An application, and a server for it when it is live.
final class TestServer {
    let application: Application
    let server: HTTPServer?
    private var socket: RawSocket?

    init(
        _ transport: Transport = .live, routes: [any Route],
        options: ApplicationOptions = ApplicationOptions(), metrics: HTTPMetrics? = nil,
        log: AccessLog? = nil, terminalLog: AccessLog? = nil,
        server change: (inout ServerOptions) -> Void = { _ in }
    ) throws {
        application = Application(
            routes: routes, options: options, metrics: metrics, log: log, terminalLog: terminalLog)
        var serverOptions = ServerOptions()
        serverOptions.address = .tcp(host: "127.0.0.1", port: 0)
        change(&serverOptions)
        server = transport == .live ? try HTTPServer(application, serverOptions) : nil
    }

    /// A new connection.
    func connect(receiveBuffer: Int32? = nil) throws -> RawSocket {
        guard let server else { throw SocketError("not live") }
        return try RawSocket(server.address, receiveBuffer: receiveBuffer)
    }

    /// Sends a request and waits for its response; over a socket always on the same connection, while it lasts.
    func send(_ request: TestRequest) throws -> TestResponse {
        guard server != nil else { return callDirectly(request) }
        let socket = try self.socket ?? connect()
        self.socket = nil
        try socket.send(request.bytes)
        let response = try socket.readResponse(to: request.method)
        if response.fields["Connection"] != "close" { self.socket = socket }
        return response
    }

    /// Lets go of the connection that `send` uses.
    func disconnect() { socket = nil }

    private func callDirectly(_ request: TestRequest) -> TestResponse {
        var fields = request.fields
        if !request.body.isEmpty { fields.set("Content-Length", "\(request.body.count)") }
        let call = application.admit(
            RequestHead(
                method: request.method, target: request.target, fields: fields, peer: "test"))
        let collector = Monitor(ResponseCollector(channel: call.channel))
        // Any change of the state wakes the one that waits below.
        call.channel.onChange { collector.withLock { _ in } }
        application.run(call, body: request.body)
        let response = collector.wait { $0.collect() }
        application.ended(
            call,
            CallOutcome(
                status: response.status, requestBytes: request.body.count,
                responseBytes: response.body.count))
        return response
    }
}

/// Takes a response off its channel, piece by piece.
private struct ResponseCollector {
    let channel: ResponseChannel
    private var body: [UInt8] = []

    init(channel: ResponseChannel) { self.channel = channel }

    /// The response, once there will be no more of it.
    mutating func collect() -> TestResponse? {
        switch channel.step {
        case .pending: return nil
        case .whole(let response):
            return TestResponse(
                status: response.status, fields: response.fields, body: response.body)
        case .broken: return TestResponse(status: 0, fields: [:], body: body, isWhole: false)
        case .stream(let status, let fields):
            var piece = [UInt8](repeating: 0, count: 1000)
            while true {
                switch piece.withUnsafeMutableBufferPointer({ channel.take(into: $0) }) {
                case .bytes(let count): body += piece.prefix(count)
                case .none: return nil
                case .end: return TestResponse(status: status, fields: fields, body: body)
                case .broken:
                    return TestResponse(status: status, fields: fields, body: body, isWhole: false)
                }
            }
        }
    }
}
