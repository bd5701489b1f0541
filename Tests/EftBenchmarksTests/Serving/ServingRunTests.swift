// SPDX-License-Identifier: Apache-2.0
// The client against servers that work, that fail, and that are not there.
import EftBenchmarks
import EftConfig
import EftTensor
import Testing

@Suite struct ServingRunTests {
    private func prompts(
        _ client: ServingClient, _ count: Int, input: Int = 20, output: Int = 6,
        change: (inout RandomPrompts) -> Void = { _ in }
    ) throws -> [RandomPrompt] {
        var prompts = RandomPrompts(vocabulary: try #require(client.vocabulary()))
        (prompts.inputLength, prompts.outputLength) = (input, output)
        change(&prompts)
        return prompts.sample(count)
    }

    @Test(arguments: [nil, 1, 3])
    func `all requests are served, and all tokens counted`(concurrency: Int?) throws {
        let server = try DemoServer()
        var client = ServingClient(server.target, .completions)
        try client.waitUntilReady(.seconds(5))
        client.model = try client.firstModel()
        #expect(client.model == "demo")
        client.ignoresEOS = true
        let asked = try prompts(client, 12) { $0.rangeRatio = 0.5 }
        var run = ServingRun(try client.target.resolve())
        run.maxConcurrency = concurrency
        var told: [Int] = []
        run.progress = { told.append($0) }
        let result = run.run(asked.map(client.job))
        #expect(told.last == 12 && !result.wasStopped)
        #expect(result.outcomes.compactMap(\.error).isEmpty)
        for (outcome, prompt) in zip(result.outcomes, asked) {
            #expect(outcome.promptTokens == prompt.tokens.count)
            #expect(outcome.outputTokens == prompt.outputLength)
            // A chunk a token at most, and one for the end.
            #expect(outcome.interTokenLatencies.count <= outcome.outputTokens)
            let first = try #require(outcome.timeToFirstToken)
            #expect(first > 0 && outcome.latency >= first && outcome.end >= outcome.start)
        }
        var options = ServingReport.Options()
        options.maxConcurrency = concurrency
        let report = ServingReport(result.outcomes, duration: result.duration, options: options)
        #expect(report.completed.count == 12 && report.failed == 0)
        #expect(report.inputTokens == asked.reduce(0) { $0 + $1.tokens.count })
        #expect(report.outputTokens == asked.reduce(0) { $0 + $1.outputLength })
        #expect(report.peakConcurrency <= concurrency ?? 12)
        if concurrency == 1 { #expect(report.peakConcurrency == 1) }
    }

    @Test func `requests come no sooner than they are due`() throws {
        let server = try DemoServer()
        var client = ServingClient(server.target, .completions)
        client.ignoresEOS = true
        var jobs = try prompts(client, 5, output: 2).map(client.job)
        for (index, time) in ArrivalSchedule.times(5, rate: 50, seed: 3).enumerated() {
            jobs[index].arrival = time
        }
        let result = ServingRun(try client.target.resolve()).run(jobs)
        #expect(result.outcomes.allSatisfy { $0.isComplete && $0.start >= $0.arrival })
        #expect(result.duration >= 0.1)
    }

    @Test func `the same seed asks the same and is answered the same`() throws {
        let server = try DemoServer()
        var client = ServingClient(server.target, .completions)
        client.ignoresEOS = true
        let jobs = try prompts(client, 6).map(client.job)
        let run = ServingRun(try client.target.resolve())
        #expect(run.run(jobs).outcomes.map(\.text) == run.run(jobs).outcomes.map(\.text))
    }

    @Test func `keys are shown, and refusals told`() throws {
        let server = try DemoServer(keys: ["open sesame".replacing(" ", with: "-")])
        var target = server.target
        let locked = ServingClient(target, .completions)
        #expect(throws: HTTPClientError.self) { try locked.firstModel() }
        let job = locked.job(RandomPrompt(tokens: [1, 2], outputLength: 2))
        let refused = ServingRun(try target.resolve()).run([job]).outcomes
        #expect(refused[0].error?.hasPrefix("status 401") ?? false, "\(refused)")
        target.key = "open-sesame"
        var client = ServingClient(target, .completions)
        #expect(try client.firstModel() == "demo")
        client.model = "another"
        let missing = ServingRun(try target.resolve())
            .run([client.job(RandomPrompt(tokens: [1], outputLength: 2))]).outcomes
        #expect(missing[0].error?.contains("does not exist") ?? false, "\(missing)")
    }

    @Test func `a server that fails, closes or garbles fails those requests alone`() throws {
        let whole = [
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n",
            "data: {\"choices\":[{\"text\":\"a\"}]}\n\n",
            "data: {\"choices\":[],\"usage\":{\"completion_tokens\":7}}\n\ndata: [DONE]\n\n",
        ]
        let server = try ScriptedServer([
            whole, [], ["HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nwell"],
            Array(whole.prefix(2)), ["\u{1}\u{2}\u{3}\n"], whole,
        ])
        let client = ServingClient(server.target, .completions)
        var run = ServingRun(try server.target.resolve())
        run.maxConcurrency = 1
        let job = client.job(RandomPrompt(tokens: [1, 2, 3], outputLength: 4))
        let outcomes = run.run(Array(repeating: job, count: 6)).outcomes
        #expect(outcomes.map(\.isComplete) == [true, false, false, false, false, true])
        #expect(outcomes[0].outputTokens == 7 && outcomes[0].promptTokens == 3)
        #expect(outcomes[2].error == "status 500: well")
        #expect(outcomes[3].error?.contains("[DONE]") ?? false)
        let report = ServingReport(outcomes, duration: 1, options: ServingReport.Options())
        #expect(report.completed.count == 2 && report.failed == 4 && report.outputTokens == 14)
    }

    @Test func `a server that is silent is given up, and a run can be stopped`() throws {
        let server = try ScriptedServer([nil])
        let client = ServingClient(server.target, .completions)
        let job = client.job(RandomPrompt(tokens: [1], outputLength: 1))
        var run = ServingRun(try server.target.resolve())
        run.timeout = 0.05
        let outcomes = run.run([job, job]).outcomes
        #expect(outcomes.allSatisfy { $0.error?.contains("no answer within") ?? false })
        run.timeout = 1000
        var asked = 0
        run.isStopped = {
            asked += 1
            return asked > 2
        }
        let stopped = run.run([job, job])
        #expect(stopped.wasStopped && stopped.outcomes.isEmpty)
        #expect(throws: HTTPClientError.self) {
            try server.target.fetch("GET", "/", within: .milliseconds(50))
        }
    }

    @Test func `nobody there fails every request, and is told`() throws {
        let target: ServerTarget
        do {
            let server = try ScriptedServer([nil])
            target = server.target
        }
        let client = ServingClient(target, .completions)
        let job = client.job(RandomPrompt(tokens: [1], outputLength: 1))
        let outcomes = ServingRun(try target.resolve()).run([job, job, job]).outcomes
        #expect(outcomes.count == 3)
        #expect(outcomes.allSatisfy { $0.error?.contains("the connection failed") ?? false })
        #expect(throws: HTTPClientError.self) { try client.waitUntilReady(.milliseconds(300)) }
        #expect(client.vocabulary() == nil)
        let unknown = ServerTarget(host: "no-such-host.invalid", port: 1)
        #expect(throws: HTTPClientError.self) { try unknown.resolve() }
    }

    @Test func `a chat is served, and the server's count of its prompt taken`() throws {
        let server = try DemoServer(
            template: "{% for message in messages %}{{ message.content }}{% endfor %}")
        var client = ServingClient(server.target, .chat)
        client.ignoresEOS = true
        let asked = try prompts(client, 5, input: 7, output: 4)
        let outcomes = ServingRun(try client.target.resolve()).run(asked.map(client.job)).outcomes
        #expect(outcomes.compactMap(\.error).isEmpty)
        #expect(outcomes.map(\.outputTokens) == Array(repeating: 4, count: 5))
        #expect(outcomes.allSatisfy { $0.promptTokens >= 7 })
    }

    @Test func `a server that loads is waited for`() throws {
        let busy = ["HTTP/1.1 503 Loading\r\nContent-Length: 0\r\n\r\n"]
        let server = try ScriptedServer([
            busy, busy, ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"],
        ])
        try ServingClient(server.target, .completions).waitUntilReady(.seconds(20))
        let never = try ScriptedServer([busy])
        #expect(throws: HTTPClientError.self) {
            try ServingClient(never.target, .completions).waitUntilReady(.milliseconds(1))
        }
    }

    @Test func `a chat's request is text`() throws {
        let target = ServerTarget(host: "127.0.0.1", port: 1)
        var client = ServingClient(target, .chat)
        client.model = "m"
        let bytes = client.job(RandomPrompt(tokens: [0, 1], outputLength: 9)).bytes
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.hasPrefix("POST /v1/chat/completions HTTP/1.1\r\n"))
        let start = try #require(text.firstRange(of: "\r\n\r\n")).upperBound
        #expect(
            try JSONParser.parse(String(text[start...])) == [
                "model": "m", "messages": [["role": "user", "content": "time year"]],
                "max_completion_tokens": 9, "temperature": 0.0, "repetition_penalty": 1.0,
                "stream": true, "stream_options": ["include_usage": true],
            ])
    }
}
