// SPDX-License-Identifier: Apache-2.0
// A server that was built with the tests, on a free port.
import EftConfig
import EftTestSupport
import Foundation

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

#if canImport(Glibc)
    import Glibc
#endif

/// A running `eft serve`, stopped at the end.
final class ServedProcess {
    private let process = Process()
    private let errors = Pipe()
    private var lines: [String] = []
    private let base: URL

    /// Starts a server and waits until it answers.
    init(_ arguments: [String]) throws {
        process.executableURL = URL(fileURLWithPath: Program.path)
        process.arguments = ["serve"] + arguments + ["--port", "0"]
        process.currentDirectoryURL = URL(fileURLWithPath: Fixtures.packageRoot)
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = errors
        try process.run()
        var (text, address) = ("", String?.none)
        while address == nil {
            let data = errors.fileHandleForReading.availableData
            guard !data.isEmpty else { throw ServedProcessError(text: text) }
            text += String(decoding: data, as: UTF8.self)
            address = text.split(whereSeparator: { " \n".contains($0) })
                .first { $0.hasPrefix("http://") }.map(String.init)
        }
        lines = text.split(separator: "\n").map(String.init)
        guard let address, let url = URL(string: address) else {
            throw ServedProcessError(text: text)
        }
        base = url
    }

    deinit { kill() }

    /// What it said before it answered.
    var startLines: [String] { lines }

    private func kill() {
        guard process.isRunning else { return }
        process.terminate()
        process.waitUntilExit()
    }

    /// Stops it as Ctrl-C does.
    /// - Returns: its exit status, and what it said since it began to answer.
    func stop() -> (status: Int32, text: String) {
        process.interrupt()
        let rest = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: rest, as: UTF8.self))
    }

    /// Asks for a path.
    func get(_ path: String) async throws -> ConfigCursor {
        try await send(URLRequest(url: base.appendingPathComponent(path)))
    }

    /// Sends a body of JSON to a path.
    func post(_ path: String, _ body: ConfigNode) async throws -> ConfigCursor {
        var request = URLRequest(url: base.appendingPathComponent(path))
        request.httpMethod = "POST"
        request.timeoutInterval = 600
        request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        request.httpBody = Data(JSONWriter.bytes(body, layout: .minimal))
        return try await send(request)
    }

    private func send(_ request: URLRequest) async throws -> ConfigCursor {
        let (data, response) = try await URLSession.shared.data(for: request)
        guard (response as? HTTPURLResponse)?.statusCode == 200 else {
            throw ServedProcessError(text: String(decoding: data, as: UTF8.self))
        }
        return ConfigCursor(try JSONParser.parse(Array(data)))
    }

    /// Bytes that it holds now.
    func resident() async throws -> Int {
        try await get("status").required("memory").required("resident").int()
    }

    /// Bytes that were planned, by purpose.
    func planned() async throws -> [String: Int] {
        var planned: [String: Int] = [:]
        for part in try await get("status").required("memory").required("planned").elements() {
            planned[try part.required("purpose").string()] = try part.required("bytes").int()
        }
        return planned
    }
}

/// A server that did not start, or did not do what it was asked for.
struct ServedProcessError: Error, CustomStringConvertible {
    let text: String
    var description: String { text }
}
