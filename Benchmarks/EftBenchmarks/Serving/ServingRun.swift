// SPDX-License-Identifier: Apache-2.0
// Many requests to a server, all on one thread.
import EftServer
import EftTensor

#if canImport(Glibc)
    import Glibc
#endif

/// A request to be sent.
package struct ServingJob: Sendable {
    /// The whole request.
    package let bytes: [UInt8]
    /// Tokens of its prompt, unless the server counts others.
    package let promptTokens: Int
    /// When it is to be sent, in seconds from the start; jobs stand in this order.
    package var arrival: Double

    /// States a request.
    package init(bytes: [UInt8], promptTokens: Int, arrival: Double = 0) {
        self.bytes = bytes
        self.promptTokens = promptTokens
        self.arrival = arrival
    }
}

/// Sends requests when their time has come and reads all answers as they grow, without a thread for each.
package struct ServingRun {
    /// Where to.
    package let address: SocketAddress
    /// Most requests under way; nil for any number.
    package var maxConcurrency: Int?
    /// Seconds after which a request is given up.
    package var timeout = 6.0 * 3600
    /// Whether to stop now; requests under way are dropped.
    package var isStopped: () -> Bool = { false }
    /// Told after each request how many are done.
    package var progress: (Int) -> Void = { _ in }

    /// Aims at a server.
    package init(_ address: SocketAddress) { self.address = address }

    /// What a run came to.
    package struct Result {
        /// What became of each job, in their order; fewer when the run was stopped.
        package let outcomes: [RequestOutcome]
        /// Seconds from the start to the end of the last one.
        package let duration: Double
        /// Whether it was stopped.
        package let wasStopped: Bool
    }

    private struct Flight {
        let job: Int
        let connection: HTTPConnection
        var stream: CompletionStream
    }

    /// Runs to the end, or until it is stopped.
    package func run(_ jobs: [ServingJob]) -> Result {
        OpenFileLimit.raise(to: min(maxConcurrency ?? jobs.count, jobs.count) + 64)
        let begin = ContinuousClock.now
        let clock = { (ContinuousClock.now - begin).seconds }
        var outcomes = [RequestOutcome?](repeating: nil, count: jobs.count)
        var flights: [Flight] = []
        var next = 0
        var done = 0
        while done < jobs.count, !isStopped() {
            let before = done
            launch(jobs, &next, &flights, &outcomes, &done, clock)
            let isAwaited = next < jobs.count && hasRoom(flights)
            for ready in wait(flights, until: isAwaited ? jobs[next].arrival : nil, clock) {
                serve(&flights[ready], clock)
            }
            giveUp(&flights, clock())
            for flight in flights where flight.stream.isFinished {
                outcomes[flight.job] = flight.stream.outcome
                done += 1
            }
            flights.removeAll { $0.stream.isFinished }
            if done > before { progress(done) }
        }
        return Result(
            outcomes: outcomes.compactMap { $0 }, duration: clock(), wasStopped: done < jobs.count)
    }

    private func hasRoom(_ flights: [Flight]) -> Bool {
        flights.count < maxConcurrency ?? .max
    }

    /// Sends the requests whose time has come.
    private func launch(
        _ jobs: [ServingJob], _ next: inout Int, _ flights: inout [Flight],
        _ outcomes: inout [RequestOutcome?], _ done: inout Int, _ clock: () -> Double
    ) {
        while next < jobs.count, hasRoom(flights), jobs[next].arrival <= clock() {
            let job = jobs[next]
            var stream = CompletionStream(
                arrival: job.arrival, start: clock(), promptTokens: job.promptTokens)
            do throws(HTTPClientError) {
                let connection = try HTTPConnection(address, request: job.bytes)
                flights.append(Flight(job: next, connection: connection, stream: stream))
            } catch {
                // A socket comes free when another request ends.
                if error.code == .exhausted, !flights.isEmpty { return }
                stream.fail(error.description, at: clock())
                outcomes[next] = stream.outcome
                done += 1
            }
            next += 1
        }
    }

    /// Waits for sockets, or for the time of the next request; at most a fifth of a second.
    /// - Returns: the requests that can go on.
    private func wait(
        _ flights: [Flight], until time: Double?, _ clock: () -> Double
    ) -> [Int] {
        var list = flights.map {
            pollfd(fd: $0.connection.descriptor, events: $0.connection.events, revents: 0)
        }
        // Rounded down, so that no request is late; the last part of a millisecond is spent asking again. One that is late
        // already waits for a socket.
        let left = (time ?? .infinity) - clock()
        let milliseconds = left > 0 ? Int32(min(left, 0.2) * 1000) : 1
        guard poll(&list, nfds_t(list.count), milliseconds) > 0 else { return [] }
        return list.indices.filter { list[$0].revents != 0 }
    }

    /// Ends requests that take too long.
    private func giveUp(_ flights: inout [Flight], _ now: Double) {
        for index in flights.indices where now - flights[index].stream.outcome.start > timeout {
            flights[index].stream.fail("no answer within \(timeout) s", at: now)
        }
    }

    /// Sends and receives what can be.
    private func serve(_ flight: inout Flight, _ clock: () -> Double) {
        do throws(HTTPClientError) {
            if flight.connection.isSending { try flight.connection.send() }
            // One piece at a time, so that no answer holds up the others.
            guard let bytes = try flight.connection.receive() else { return }
            if bytes.isEmpty {
                flight.stream.close(at: clock())
            } else {
                flight.stream.feed(bytes, at: clock())
            }
        } catch {
            flight.stream.fail(error.description, at: clock())
        }
    }
}
