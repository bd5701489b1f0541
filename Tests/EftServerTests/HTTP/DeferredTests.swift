// SPDX-License-Identifier: Apache-2.0
import EftConfig
import EftServer
import EftTensor
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// Answers that are given later, by another thread.
struct DeferredTests {
    private let handout = Handout<Responder>()

    private var slow: ClosureRoute {
        ClosureRoute("POST", "/slow") { [handout] _, responder in
            responder.onCancel { handout.cancelled() }
            handout.give(responder)
        }
    }

    private let request = TestRequest("POST", "/slow", body: "{}")

    @Test(arguments: Transport.allCases)
    func `an answer may come from another thread`(transport: Transport) throws {
        let route = ClosureRoute("GET", "/later") { _, responder in
            _ = try WorkerThread {
                usleep(20_000)
                responder.respond(.json(["answer": 42]))
            }
        }
        let server = try TestServer(transport, routes: [route])
        #expect(try server.send(TestRequest("GET", "/later")).json == ["answer": 42])
    }

    @Test func `nobody waits for another's answer`() throws {
        let server = try TestServer(routes: [slow, ClosureRoute.hello])
        let waiting = try (0..<50).map { _ in
            let socket = try server.connect()
            try socket.send(request.bytes)
            return socket
        }
        let responders = waiting.map { _ in handout.take() }
        #expect(try server.send(TestRequest("GET", "/hello")).text == "hello")
        for responder in responders { responder.respond(.text("done")) }
        for socket in waiting { #expect(try socket.readResponse().text == "done") }
        #expect(handout.cancellations == 0)
    }

    @Test(arguments: [0, 1, 2])
    func `a client that leaves while it waits is noticed`(way: Int) throws {
        let server = try TestServer(routes: [slow])
        let socket = try server.connect()
        try socket.send(request.bytes)
        let responder = handout.take()
        switch way {
        case 0: socket.close()
        case 1: socket.reset()
        default: socket.closeSending()
        }
        handout.waitForCancellation()
        #expect(responder.isCancelled)
        #expect(!responder.respond(.text("too late")))
        #expect(eventually { server.server?.connectionCount == 0 })
        #expect(server.server?.requestCount == 0)
        #expect(handout.cancellations == 1)
    }

    @Test func `a client that closes its half is still answered when nobody minds`() throws {
        let plain = Handout<Responder>()
        let server = try TestServer(
            routes: [ClosureRoute("GET", "/plain") { _, responder in plain.give(responder) }])
        let socket = try server.connect()
        try socket.send(TestRequest("GET", "/plain").bytes)
        socket.closeSending()
        let responder = plain.take()
        #expect(eventually { responder.isCancelled })
        #expect(responder.respond(.text("answer")))
        #expect(try socket.readResponse().text == "answer")
    }

    @Test func `who asks after the client has left is told at once`() throws {
        let plain = Handout<Responder>()
        let server = try TestServer(
            routes: [ClosureRoute("GET", "/plain") { _, responder in plain.give(responder) }])
        let socket = try server.connect()
        try socket.send(TestRequest("GET", "/plain").bytes)
        let responder = plain.take()
        socket.close()
        #expect(eventually { responder.isCancelled })
        responder.onCancel { plain.cancelled() }
        #expect(plain.cancellations == 1)
        #expect(eventually { server.server?.connectionCount == 0 })
        #expect(plain.cancellations == 1)
        // A stream for nobody is closed from the start.
        #expect(!responder.stream(fields: [:]).write("x".utf8))
    }

    @Test(arguments: Transport.allCases)
    func `a handler that forgets to answer answers 500`(transport: Transport) throws {
        let server = try TestServer(
            transport, routes: [ClosureRoute("GET", "/forgets") { _, _ in }])
        let response = try server.send(TestRequest("GET", "/forgets"))
        #expect(response.status == 500)
        #expect(response.value("error", "type") == "InternalServerError")
    }

    @Test(arguments: Transport.allCases)
    func `what a handler throws is told only when it is meant for the client`(
        transport: Transport
    ) throws {
        struct Secret: Error {}
        let server = try TestServer(
            transport,
            routes: [
                ClosureRoute("GET", "/fails") { _, _ in throw Secret() },
                ClosureRoute("GET", "/refuses") { _, _ in
                    throw HTTPFailure.badRequest("no such number", parameter: "n")
                },
            ])
        let failed = try server.send(TestRequest("GET", "/fails"))
        #expect(failed.status == 500)
        #expect(!failed.text.contains("Secret"))
        let refused = try server.send(TestRequest("GET", "/refuses"))
        #expect(
            refused.json == [
                "error": [
                    "message": "no such number", "type": "BadRequestError", "param": "n",
                    "code": 400,
                ]
            ])
    }

    @Test func `only the first answer counts`() throws {
        let server = try TestServer(routes: [slow])
        let socket = try server.connect()
        try socket.send(request.bytes)
        let responder = handout.take()
        #expect(responder.respond(.text("first")))
        #expect(!responder.respond(.text("second")))
        #expect(!responder.stream(fields: [:]).isOpen)
        #expect(try socket.readResponse().text == "first")
    }

    @Test func `a field that would begin another is left out`() throws {
        let route = ClosureRoute("GET", "/split") { _, responder in
            var response = Response.text("body")
            response.fields.add("X-Evil", "a\r\nX-Injected: b")
            response.fields.add("X-Good", "c")
            responder.respond(response)
        }
        let server = try TestServer(routes: [route])
        let response = try server.send(TestRequest("GET", "/split"))
        #expect(response.fields["X-Injected"] == nil)
        #expect(response.fields["X-Good"] == "c")
        #expect(response.text == "body")
    }
}
