// SPDX-License-Identifier: Apache-2.0
// The program that was built with the tests, run to its end or killed.
import EftFormats
import EftTestSupport
import Foundation

#if canImport(Glibc)
    import Glibc
#endif

/// A finished run of the program.
struct Program {
    static let path = FileSystem.join(Fixtures.packageRoot, ".build/release/eft")

    let status: Int32
    let output: String
    let errors: String

    init(_ arguments: String...) throws { try self.init(arguments) }

    init(_ arguments: [String]) throws { try self.init(arguments, input: nil) }

    /// - Parameter environment: variables beside those of the tests.
    init(_ arguments: [String], environment: [String: String]) throws {
        try self.init(arguments, input: nil, environment: environment)
    }

    init(path: String, _ arguments: [String]) throws {
        try self.init(path: path, arguments, input: nil)
    }

    /// - Parameter input: what the program reads; nothing when nil.
    /// - Parameter environment: variables beside those of the tests.
    init(
        path: String = Program.path, _ arguments: [String], input: String?,
        environment: [String: String] = [:]
    ) throws {
        let process = Program.process(path, arguments, environment: environment)
        let (out, err) = (Pipe(), Pipe())
        var file: TemporaryFolder?
        if let input {
            let folder = try TemporaryFolder()
            process.standardInput = FileHandle(
                forReadingAtPath: try folder.write("input", Array(input.utf8)))
            file = folder
        }
        defer { _ = file }
        process.standardOutput = out
        process.standardError = err
        try process.run()
        // Both pipes are short enough not to fill.
        output = String(decoding: out.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        errors = String(decoding: err.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        status = process.terminationStatus
    }

    /// The program with its arguments, not started.
    static func process(
        _ path: String, _ arguments: [String], environment: [String: String] = [:]
    ) -> Process {
        let process = Process()
        if !environment.isEmpty {
            process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        }
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: Fixtures.packageRoot)
        process.standardInput = FileHandle.nullDevice
        return process
    }

    /// Runs the program and kills it without warning once it is time.
    /// - Returns: whether it was killed in the midst of its work.
    @discardableResult
    static func kill(
        _ arguments: [String], environment: [String: String] = [:], when isTime: () -> Bool
    ) throws -> Bool {
        let process = process(path, arguments, environment: environment)
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        while process.isRunning, !isTime() { usleep(200) }
        Glibc.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        return process.terminationReason == .uncaughtSignal
    }

    /// Runs the program and kills it without warning after a while.
    static func kill(_ arguments: [String], after duration: Duration) throws {
        let end = ContinuousClock.now + duration
        try kill(arguments) { ContinuousClock.now >= end }
    }
}
