// SPDX-License-Identifier: Apache-2.0
// Completions of prompts, as OpenAI's first interface has them.
import EftConfig
import EftGeneration

/// `POST /v1/completions`.
struct CompletionsRoute: ModelServingRoute {
    let methods = ["POST"]
    let path = "/v1/completions"
    let model: ServedModel

    func handle(_ request: Request, _ responder: Responder) throws {
        let asked = try CompletionRequest(request.json(), model)
        var requests: [EngineRequest] = []
        // Checked before the answer begins, so that a failure has its status.
        let lengths = try asked.prompts.map {
            try model.answerLength(asked.maxTokens, prompt: $0.count)
        }
        if let beams = asked.beams {
            try BeamRun(asked, beams, model, responder).start()
            return
        }
        let answer = try CompletionAnswer(asked, model, responder)
        for (place, prompt) in asked.prompts.enumerated() {
            var parameters = asked.parameters
            parameters.maxTokens = lengths[place]
            parameters.minTokens = min(parameters.minTokens, lengths[place])
            var engine = asked.placement.request(
                prompt, parameters,
                try AnswerSink(
                    prompt: place, samples: asked.samples, parameters, model.tokenizer, answer))
            engine.samples = asked.samples
            engine.constraint = asked.constraint
            requests.append(engine)
        }
        try model.submit(requests, responder)
    }
}
