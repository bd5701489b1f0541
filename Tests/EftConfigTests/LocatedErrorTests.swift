// SPDX-License-Identifier: Apache-2.0
// The one shape of errors: what it shows of the place that an error is about.
import EftConfig
import Testing

private typealias SampleError = LocatedError<SampleErrorCode>

private enum SampleErrorCode: Sendable, Hashable { case wrong }

@Suite struct LocatedErrorTests {
    @Test func `the place stands before the message, as far as it is known`() {
        let errors = [
            SampleError(.wrong, "is wrong"),
            SampleError(.wrong, "is wrong", path: "a.bin"),
            SampleError(.wrong, "is wrong", path: "a.bin", tensor: "w"),
            SampleError(.wrong, "is wrong", tensor: "w"),
            SampleError(.wrong, "is wrong", file: "a.yml", keyPath: "x[0]", line: 3),
            SampleError(.wrong, "is wrong", file: nil, keyPath: "x[0]"),
            SampleError(.wrong, "is wrong", file: nil, line: 3),
        ]
        #expect(
            errors.map(\.description) == [
                "is wrong", "a.bin: is wrong", "a.bin: tensor 'w': is wrong",
                "tensor 'w': is wrong", "a.yml:3 (x[0]): is wrong", "x[0]: is wrong",
                "line 3: is wrong",
            ])
    }

    @Test func `file and path are the same, and can be filled in later`() {
        var error = SampleError(.wrong, "is wrong", line: 3)
        error.file = "a.yml"
        #expect(error.path == "a.yml" && error.description == "a.yml:3: is wrong")
    }

    @Test func `keys from a file cannot control the terminal`() {
        let error = SampleError(.wrong, "is wrong", file: nil, keyPath: "a\u{1B}[2Jb")
        #expect(!error.description.contains("\u{1B}"))
    }
}
