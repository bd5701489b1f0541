// SPDX-License-Identifier: Apache-2.0
// Runs one of several bodies under libFuzzer.
import CLibFuzzer

#if canImport(Glibc)
    import Glibc
#endif

/// Chooses a body by the environment variable `EFT_FUZZ_TARGET` and gives it libFuzzer's inputs.
package enum FuzzDriver {
    /// What is done with an input. Errors are no faults; traps are.
    package typealias Body = @Sendable (_ bytes: [UInt8]) -> Void

    nonisolated(unsafe) private static var body: Body = { _ in }

    /// Runs libFuzzer with the arguments of the command line; does not return before it is done.
    package static func run(_ bodies: [String: Body]) -> Never {
        let name = getenv("EFT_FUZZ_TARGET").map { String(cString: $0) } ?? ""
        guard let chosen = bodies[name] else {
            let names = bodies.keys.sorted().joined(separator: ", ")
            print("set EFT_FUZZ_TARGET to one of \(names)")
            exit(2)
        }
        body = chosen
        var count = CommandLine.argc
        var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? =
            CommandLine.unsafeArgv
        exit(
            LLVMFuzzerRunDriver(&count, &arguments) { data, size in
                FuzzDriver.body(Array(UnsafeBufferPointer(start: data, count: size)))
                return 0
            })
    }

    /// Writes an input to a file in memory for as long as `body` runs; each file has a name of its own.
    package static func withFile(
        _ bytes: [UInt8], ending: String, _ body: (_ path: String) -> Void
    ) {
        number += 1
        let path = "/dev/shm/eft-fuzz-\(getpid())-\(number)\(ending)"
        guard let file = fopen(path, "w") else { return }
        _ = bytes.withUnsafeBytes { fwrite($0.baseAddress, 1, $0.count, file) }
        fclose(file)
        defer { unlink(path) }
        body(path)
    }

    nonisolated(unsafe) private static var number = 0
}
