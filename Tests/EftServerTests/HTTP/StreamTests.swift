// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftServer
import EftTensor
import Synchronization
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// What a test's handlers hand out, and what became of it.
final class Handout<Value: Sendable>: Sendable {
    private let monitor = Monitor<(values: [Value], cancellations: Int)>(([], 0))

    func give(_ value: Value) { monitor.withLock { $0.values.append(value) } }
    /// The first value, which is the taker's alone.
    func take() -> Value {
        monitor.wait { state in state.values.isEmpty ? nil : state.values.removeFirst() }
    }
    func cancelled() { monitor.withLock { $0.cancellations += 1 } }
    var cancellations: Int { monitor.withLock { $0.cancellations } }
    func waitForCancellation() { monitor.wait { $0.cancellations > 0 ? () : nil } }
}

/// Waits until something holds; a test that waits in vain fails by what it expects next.
func eventually(_ condition: () -> Bool) -> Bool {
    for _ in 0..<5000 {
        if condition() { return true }
        usleep(2000)
    }
    return condition()
}

struct StreamTests {
    private let handout = Handout<ResponseStream>()

    private func route(events: Bool = true) -> ClosureRoute {
        ClosureRoute("GET", "/stream") { [handout] _, responder in
            let stream =
                events ? responder.events() : responder.stream(fields: ["Content-Type": "x/y"])
            stream.onCancel { handout.cancelled() }
            handout.give(stream)
        }
    }

    @Test(arguments: Transport.allCases)
    func `a stream is all its pieces`(transport: Transport) throws {
        let route = ClosureRoute("GET", "/count") { _, responder in
            let stream = responder.events()
            let thread = try WorkerThread {
                for number in 0..<50 {
                    stream.send(["number": ConfigNode(number)])
                    if number % 10 == 0 { usleep(2000) }
                }
                stream.sendDone()
            }
            withExtendedLifetime(thread) {}
        }
        let server = try TestServer(transport, routes: [route])
        let response = try server.send(TestRequest("GET", "/count"))
        let events = (0..<50).map { "data: {\"number\":\($0)}\n\n" }.joined()
        #expect(response.status == 200)
        #expect(response.fields["Content-Type"] == "text/event-stream; charset=utf-8")
        #expect(response.text == events + "data: [DONE]\n\n")
        #expect(response.isWhole)
        // The connection goes on.
        #expect(try server.send(TestRequest("GET", "/nowhere")).status == 404)
    }

    @Test func `each piece arrives before the next is written`() throws {
        let server = try TestServer(routes: [route()])
        let socket = try server.connect()
        try socket.send(TestRequest("GET", "/stream").bytes)
        let stream = handout.take()
        #expect(try socket.readHead().status == 200)
        for round in 0..<20 {
            stream.write("piece \(round)".utf8)
            #expect(try socket.readChunk() == Array("piece \(round)".utf8))
        }
        stream.finish()
        #expect(try socket.readChunk() == nil)
        #expect(handout.cancellations == 0)
    }

    @Test func `the head is sent before the first piece`() throws {
        let server = try TestServer(routes: [route()])
        let socket = try server.connect()
        try socket.send(TestRequest("GET", "/stream").bytes)
        #expect(try socket.readHead().fields["Transfer-Encoding"] == "chunked")
        handout.take().finish()
        #expect(try socket.readChunk() == nil)
    }

    @Test func `an old client reads to the end of the connection`() throws {
        let server = try TestServer(routes: [route()])
        let socket = try server.connect()
        try socket.send("GET /stream HTTP/1.0\n\n")
        let stream = handout.take()
        stream.write("one".utf8)
        stream.write("two".utf8)
        stream.finish()
        let response = try socket.readResponse()
        #expect(response.fields["Transfer-Encoding"] == nil)
        #expect(response.text == "onetwo")
    }

    @Test func `large pieces come whole`() throws {
        let server = try TestServer(routes: [route()])
        let socket = try server.connect()
        try socket.send(TestRequest("GET", "/stream").bytes)
        let stream = handout.take()
        let piece = (0..<900_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        #expect(stream.write(piece))
        stream.finish()
        #expect(try socket.readResponse().body == piece)
    }

    @Test func `a stream that is let go is broken off`() throws {
        let server = try TestServer(routes: [route()])
        let socket = try server.connect()
        try socket.send(TestRequest("GET", "/stream").bytes)
        var stream: ResponseStream? = handout.take()
        stream?.write("half".utf8)
        #expect(try socket.readHead().status == 200)
        #expect(try socket.readChunk() == Array("half".utf8))
        stream = nil
        #expect(socket.isClosed())
        #expect(handout.cancellations == 0)
    }

    @Test(arguments: [false, true])
    func `a client that leaves a silent stream is noticed`(isReset: Bool) throws {
        let server = try TestServer(routes: [route()])
        let socket = try server.connect()
        try socket.send(TestRequest("GET", "/stream").bytes)
        let stream = handout.take()
        _ = try socket.readHead()
        if isReset { socket.reset() } else { socket.close() }
        handout.waitForCancellation()
        #expect(!stream.write("more".utf8))
        #expect(!stream.isOpen)
        stream.finish()
        #expect(eventually { server.server?.connectionCount == 0 })
        #expect(server.server?.requestCount == 0)
        #expect(handout.cancellations == 1)
    }

    @Test func `a client that leaves a busy stream is noticed`() throws {
        let server = try TestServer(routes: [route()])
        let socket = try server.connect()
        try socket.send(TestRequest("GET", "/stream").bytes)
        let stream = handout.take()
        let writer = try WorkerThread {
            while stream.write("tick".utf8) { usleep(500) }
        }
        _ = try socket.readChunkAfterHead()
        socket.close()
        writer.join()
        handout.waitForCancellation()
        #expect(eventually { server.server?.connectionCount == 0 })
        #expect(handout.cancellations == 1)
    }

    @Test func `a client that reads too slowly is cut off`() throws {
        var options = ApplicationOptions()
        options.streamLimit = 100_000
        let server = try TestServer(routes: [route()], options: options)
        let socket = try server.connect(receiveBuffer: 4096)
        try socket.send(TestRequest("GET", "/stream").bytes)
        let stream = handout.take()
        var response = try socket.readHead()
        let piece = [UInt8](repeating: 7, count: 10_000)
        var written = 0
        while stream.write(piece) {
            written += 1
            // The system holds some too, but not this much.
            if written > 2000 { break }
        }
        #expect(written >= 10 && written < 2000)
        #expect(handout.cancellations == 1)
        #expect(eventually { server.server?.connectionCount == 0 })
        #expect(throws: SocketError.self) {
            while let chunk = try socket.readChunk() { response.body += chunk }
        }
        #expect(response.body.count < written * piece.count)
        #expect(handout.cancellations == 1)
    }

    @Test func `a client that reads nothing for too long is cut off`() throws {
        let server = try TestServer(routes: [route()]) { $0.writeTimeout = .milliseconds(300) }
        let socket = try server.connect(receiveBuffer: 4096)
        try socket.send(TestRequest("GET", "/stream").bytes)
        let stream = handout.take()
        // More than the system takes at once, and less than is kept.
        var isOpen = true
        for _ in 0..<400 where isOpen {
            isOpen = stream.write([UInt8](repeating: 1, count: 10_000))
            usleep(1000)
        }
        handout.waitForCancellation()
        #expect(eventually { server.server?.connectionCount == 0 })
        #expect(handout.cancellations == 1)
    }

    @Test func `a stream may be silent for longer than any limit`() throws {
        let server = try TestServer(routes: [route()]) { options in
            options.headerTimeout = .milliseconds(100)
            options.bodyTimeout = .milliseconds(100)
            options.writeTimeout = .milliseconds(100)
            options.keepAliveTimeout = .milliseconds(100)
        }
        let socket = try server.connect()
        try socket.send(TestRequest("GET", "/stream").bytes)
        let stream = handout.take()
        usleep(600_000)
        stream.write("late".utf8)
        stream.finish()
        #expect(try socket.readResponse().text == "late")
        // But the connection may not idle.
        #expect(socket.isClosed())
    }

    @Test func `writes after the end are refused`() throws {
        let server = try TestServer(routes: [route()])
        let socket = try server.connect()
        try socket.send(TestRequest("GET", "/stream").bytes)
        let stream = handout.take()
        stream.write("all".utf8)
        stream.finish()
        #expect(!stream.write("more".utf8))
        stream.finish()
        #expect(try socket.readResponse().text == "all")
        socket.close()
        #expect(eventually { server.server?.connectionCount == 0 })
        #expect(handout.cancellations == 0)
    }
}

extension RawSocket {
    fileprivate func readChunkAfterHead() throws -> [UInt8]? {
        _ = try readHead()
        return try readChunk()
    }
}
