// SPDX-License-Identifier: Apache-2.0
// Whole runs on conversations, and what they leave.
import EftConfig
import EftFormats
import EftTestSupport
import EftTokenizers
import EftTraining
import Testing

struct ConversationRunTests {
    private static let rows = (0..<8).map { index in
        #"{"messages": [{"role": "user", "content": "say \#(index)"}, "#
            + #"{"role": "assistant", "content": "the \#(index)"}]}"#
    }.joined(separator: "\n")

    private func job(
        _ folder: TemporaryFolder, _ keys: String, top: String = ""
    ) throws -> TrainingJob {
        try folder.write("talk.jsonl", Self.rows)
        let data = "{path: \(folder.file("talk.jsonl")), type: chat_template\(keys)}"
        let config = try SmallJob.config(folder, data: data, top)
        return try SmallJob.job(config, folder)
    }

    @Test(arguments: [(", chat_template: mistral_v1", ""), ("", "chat_template: mistral_v1\n")])
    func `the template of a run is kept beside what is trained`(
        _ keys: String, _ top: String
    ) throws {
        let folder = try SmallJob.workplace()
        let job = try job(folder, keys, top: top)
        #expect(job.notices.allSatisfy { !$0.contains("chat_template") })
        _ = try SmallJob.losses(job)
        let kept = try ConfigFile.contents(folder.file("out/chat_template.jinja"))
        let family = try #require(ChatTemplateFamily.source("mistral_v1"))
        #expect(String(decoding: kept, as: UTF8.self) == family)
        let segments = try job.examples.segments(of: job.data.train[0])
        #expect(segments.map(\.isTrained) == [false, true])
        #expect(segments[0].text.hasPrefix("<s> [INST] say"))
        #expect(segments[1].text.hasSuffix("</s>"))
    }

    @Test func `special tokens of the configuration reach the template`() throws {
        let folder = try SmallJob.workplace()
        let job = try job(
            folder, ", chat_template: mistral_v1", top: "special_tokens: {eos_token: <s>}\n")
        #expect(job.data.train.allSatisfy { $0.tokens.last == TinyModel.bos })
        #expect(job.data.train.allSatisfy { $0.labels.last == TinyModel.bos })
    }
}
