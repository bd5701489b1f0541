// SPDX-License-Identifier: Apache-2.0
import EftServer
import EftTensor
import EftTestSupport
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// Starting, stopping, and the ways to be reached.
struct LifetimeTests {
    private let handout = Handout<ResponseStream>()

    private var stream: ClosureRoute {
        ClosureRoute("GET", "/stream") { [handout] _, responder in
            let stream = responder.events()
            stream.onCancel { handout.cancelled() }
            handout.give(stream)
        }
    }

    @Test func `a free port is taken and told`() throws {
        let server = try TestServer(routes: [ClosureRoute.hello])
        guard case .tcp("127.0.0.1", let port)? = server.server?.address else {
            Issue.record("no address")
            return
        }
        #expect(port != 0)
    }

    @Test func `a port in use is refused`() throws {
        let server = try TestServer(routes: [])
        guard let address = server.server?.address else { return }
        let error = #expect(throws: ServerError.self) {
            try TestServer(routes: []) { $0.address = address }
        }
        #expect(error?.code == .address)
    }

    @Test(arguments: ["example.org", "", "300.1.1.1", "1.1.1"])
    func `names are no addresses`(host: String) {
        let error = #expect(throws: ServerError.self) {
            try TestServer(routes: []) { $0.address = .tcp(host: host, port: 0) }
        }
        #expect(error?.code == .address)
    }

    @Test func `a socket in the file system is for its owner, and goes with the server`() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("server.socket")
        for _ in 0..<2 {
            let server = try TestServer(routes: [ClosureRoute.hello]) {
                $0.address = .unix(path: path)
            }
            var status = stat()
            #expect(stat(path, &status) == 0)
            #expect(status.st_mode & 0o777 == 0o600)
            #expect(try server.send(TestRequest("GET", "/hello")).text == "hello")
            server.server?.stop(within: .zero)
            #expect(stat(path, &status) != 0)
        }
        let long = String(repeating: "x", count: 200)
        #expect(throws: ServerError.self) {
            try TestServer(routes: []) { $0.address = .unix(path: folder.file(long)) }
        }
    }

    @Test func `a socket that nobody serves any more is replaced, other files are not`() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("dead.socket")
        let server = try TestServer(routes: []) { $0.address = .unix(path: path) }
        #expect(throws: ServerError.self) {
            try TestServer(routes: []) { $0.address = .unix(path: path) }
        }
        // As a killed server leaves it behind.
        let kept = folder.file("kept")
        link(path, kept)
        server.server?.stop(within: .zero)
        rename(kept, path)
        let next = try TestServer(routes: [ClosureRoute.hello]) { $0.address = .unix(path: path) }
        #expect(try next.send(TestRequest("GET", "/hello")).text == "hello")
        try folder.write("file", "text")
        #expect(throws: ServerError.self) {
            try TestServer(routes: []) { $0.address = .unix(path: folder.file("file")) }
        }
    }

    @Test func `stopping lets a stream finish`() throws {
        let server = try TestServer(routes: [stream])
        let socket = try server.connect()
        let idle = try server.connect()
        try socket.send(TestRequest("GET", "/stream").bytes)
        let stream = handout.take()
        let stopper = try WorkerThread { [server = server.server] in
            server?.stop(within: .seconds(20))
        }
        #expect(idle.isClosed())
        // No new connection is taken.
        #expect(eventually { (try? server.connect()) == nil })
        stream.write("last words".utf8)
        stream.finish()
        #expect(try socket.readResponse().text == "last words")
        #expect(socket.isClosed())
        stopper.join()
        #expect(handout.cancellations == 0)
        #expect(server.server?.connectionCount == 0)
    }

    @Test func `stopping ends what does not finish in time`() throws {
        let server = try TestServer(routes: [stream, ClosureRoute.measure])
        let socket = try server.connect()
        try socket.send(TestRequest("GET", "/stream").bytes)
        let stream = handout.take()
        stream.write("some".utf8)
        let half = try server.connect()
        try half.send("POST /measure HTTP/1.1\nHost: h\nContent-Length: 100\n\nabc")
        #expect(eventually { server.server?.requestCount == 2 })
        server.server?.stop(within: .milliseconds(50))
        #expect(handout.cancellations == 1)
        #expect(!stream.write("more".utf8))
        #expect(server.server?.connectionCount == 0)
        #expect(server.server?.requestCount == 0)
        #expect(!(try socket.readResponse().isWhole))
    }

    @Test func `servers come and go under load`() throws {
        for round in 0..<8 {
            let server = try TestServer(routes: [ClosureRoute.hello, stream])
            guard let address = server.server?.address else { return }
            let clients = try (0..<4).map { number in
                try WorkerThread {
                    for turn in 0..<200 {
                        guard let socket = try? RawSocket(address) else { return }
                        let path = (turn + number) % 3 == 0 ? "/stream" : "/hello"
                        try? socket.send(TestRequest("GET", path).bytes)
                        if turn % 2 == 0 { _ = try? socket.receive() }
                    }
                }
            }
            usleep(UInt32(3000 * round))
            server.server?.stop(within: .milliseconds(round % 2 == 0 ? 0 : 5))
            for client in clients { client.join() }
            #expect(server.server?.connectionCount == 0)
            #expect(server.server?.requestCount == 0)
        }
    }

    @Test func `a secure connection serves as a plain one`() throws {
        let server = try TestServer(routes: [ClosureRoute.hello, ClosureRoute.measure, stream]) {
            options in
            options.secrets = ServerOptions.Secrets(
                certificate: TestCertificate.certificate, key: TestCertificate.key)
        }
        guard let address = server.server?.address else { return }
        let socket = try RawSocket(address, certificate: TestCertificate.certificate)
        try socket.send(TestRequest("GET", "/hello").bytes)
        #expect(try socket.readResponse().text == "hello")
        try socket.send(
            TestRequest("POST", "/measure", body: String(repeating: "a", count: 500_000)).bytes)
        #expect(try socket.readResponse().value("count") == 500_000)
        try socket.send(TestRequest("GET", "/stream").bytes)
        let stream = handout.take()
        #expect(try socket.readHead().status == 200)
        for round in 0..<5 {
            stream.write("piece \(round)".utf8)
            #expect(try socket.readChunk() == Array("piece \(round)".utf8))
        }
        socket.close()
        handout.waitForCancellation()
        #expect(eventually { server.server?.connectionCount == 0 })
    }

    @Test func `a client that does not speak TLS is cut off`() throws {
        let server = try TestServer(routes: [ClosureRoute.hello]) { options in
            options.secrets = ServerOptions.Secrets(
                certificate: TestCertificate.certificate, key: TestCertificate.key)
            options.headerTimeout = .milliseconds(300)
        }
        let plain = try server.connect()
        try plain.send(TestRequest("GET", "/hello").bytes)
        #expect(!String(decoding: plain.receiveAll(), as: UTF8.self).contains("hello"))
        let silent = try server.connect()
        #expect(silent.isClosed())
        #expect(eventually { server.server?.connectionCount == 0 })
    }

    @Test func `a certificate that is none is refused`() {
        let error = #expect(throws: ServerError.self) {
            try TestServer(routes: []) { options in
                options.secrets = ServerOptions.Secrets(certificate: "no", key: "none")
            }
        }
        #expect(error?.code == .certificate)
    }
}
