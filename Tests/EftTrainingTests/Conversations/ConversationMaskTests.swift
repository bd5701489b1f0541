// SPDX-License-Identifier: Apache-2.0
// Token ids and masks of conversations against those that Axolotl itself makes.
import EftConfig
import EftTestSupport
import Testing

@testable import EftTraining

struct ConversationMaskTests {
    @Test func `ids and masks are Axolotl's`() throws {
        let document = try ConfigFile.read(Fixtures.path("conversations/cases.json"))
        var rigs: [String: ConversationRig] = [:]
        var compared = 0
        for test in try document.required("cases").elements() {
            let name = try test.required("name").string()
            let tokenizer = try test.required("tokenizer").string()
            let rig = try rigs[tokenizer] ?? ConversationRig(tokenizer)
            rigs[tokenizer] = rig
            let example = try rig.example(
                test.required("row").node, test.required("entry").object(),
                top: test.required("top").object())
            let trained = example.labels.map { $0 >= 0 ? "1" : "0" }.joined()
            #expect(example.tokens.map { Int($0) } == (try test.required("ids").ints()), "\(name)")
            #expect(trained == (try test.required("trained").string()), "\(name)")
            #expect(zip(example.tokens, example.labels).allSatisfy { $1 == -100 || $0 == $1 })
            compared += 1
        }
        #expect(compared >= 100)
    }
}
