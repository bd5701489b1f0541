// SPDX-License-Identifier: Apache-2.0
// Manual pages, checked by mandoc where it is installed.

import EftCommandLine
import EftTestSupport
import Foundation
import Testing

private let mandoc = "/usr/bin/mandoc"

struct ManualPageTests {
    private let pages = ManualPage.all(of: sampleProgram)

    @Test func `there is a page for the program and for each verb`() {
        #expect(pages.map(\.name) == ["eft.1", "eft-train.1", "eft-quantize.1"])
    }

    @Test func `a page has what the help has`() throws {
        let page = try #require(pages.last).text
        #expect(page.hasPrefix(".TH EFT-QUANTIZE 1 \"2026-01-31\" \"eft 1.2\" "))
        #expect(page.contains(".SH NAME\neft-quantize \\- Makes a quantized folder\n"))
        #expect(page.contains("\\fB\\-i\\fR, \\fB\\-\\-in\\-dir\\fR \\fIDIR\\fR\n"))
        #expect(page.contains("\\fB\\-\\-[no\\-]resume\\fR\nGo on where a run was stopped."))
        #expect(page.contains("Type that\\(aqs stored [x:y]. (one of bf16, f16, f32)"))
        #expect(page.contains(".SH EXAMPLES\n"))
    }

    @Test func `nothing in a page is taken for a request`() {
        let page = ManualPage.all(
            of: ProgramSpecification(
                name: "eft", version: "1", abstract: ".SH \\n 'x",
                commands: []))[0].text
        #expect(page.contains("\\- \\&.SH \\en \\(aqx"))
    }

    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: mandoc)))
    func `mandoc has nothing to complain about`() throws {
        let folder = try TemporaryFolder()
        for page in pages {
            let path = try folder.write(page.name, page.text)
            let process = Process()
            process.executableURL = URL(filePath: mandoc)
            process.arguments = ["-Tlint", "-Wwarning", path]
            let output = Pipe()
            process.standardOutput = output
            process.standardError = output
            try process.run()
            let text = output.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            #expect(process.terminationStatus == 0, "\(String(decoding: text, as: UTF8.self))")
        }
    }
}
