// SPDX-License-Identifier: Apache-2.0
// Only code that comes from a file is given back, and what is needed again comes back.
import EftTensor
import Testing

struct ProgramCodeTests {
    @Test func `lines of code of files are told from all others`() {
        let code = "7f00-7f80 r-xp 00001000 08:01 42                 /usr/lib/a name.so"
        #expect(ProgramCode.codeRange(code) == 0x7f00..<0x7f80)
        for other in [
            "7f00-7f80 rw-p 00001000 08:01 42   /usr/lib/a.so", "7f00-7f80 r--p 0 08:01 42 /a.so",
            "7f00-7f80 rwxp 00001000 08:01 42   /usr/lib/a.so", "7f00-7f80 r-xp 0 00:00 0 [vdso]",
            "7f00-7f80 r-xp 00000000 00:00 0", "7f80-7f00 r-xp 0 08:01 42 /a.so",
            "x-7f00 r-xp 0 08:01 42 /a.so", "7f00 r-xp 0 08:01 42 /a.so", "", " ",
        ] {
            #expect(ProgramCode.codeRange(other) == nil, "\(other)")
        }
    }

    @Test func `the program goes on without the pages that were given back`() {
        let words = (0..<2000).map { "\($0)" }.sorted()
        ProgramCode.giveBack()
        #expect((0..<2000).map { "\($0)" }.sorted() == words)
    }
}
