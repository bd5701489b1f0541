// SPDX-License-Identifier: Apache-2.0
// Models opened with other values for keys of their config.json.
import EftConfig
import EftModels
import EftNN
import EftTestSupport
import Testing

@Suite struct ConfigOverridesTests {
    private func open(_ change: (inout ConfigOverrides) -> Void) throws -> DecoderDescription {
        var overrides = ConfigOverrides()
        change(&overrides)
        return try ModelFolder.open(Fixtures.path("models/plain"), overrides: overrides).description
    }

    @Test(arguments: [
        (#"{"rope_type": "linear", "factor": 4.0}"#, RotaryScaling.linear(factor: 4), 512),
        (
            #"{"type": "dynamic", "factor": 2.5}"#,
            RotaryScaling.dynamic(factor: 2.5, originalContext: 128), 320
        ),
        (
            #"{"rope_type": "llama3", "factor": 2, "low_freq_factor": 1, "high_freq_factor": 4,"#
                + #" "original_max_position_embeddings": 32}"#,
            RotaryScaling.llama3(
                factor: 2, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 32), 128
        ),
    ])
    func `a scaling takes the place of the model's, and the context grows`(
        _ text: String, _ scaling: RotaryScaling, _ context: Int
    ) throws {
        let description = try open { $0.ropeScaling = try? JSONParser.parse(text) }
        #expect(description.rotary.scaling == scaling)
        #expect(description.rotary.theta == 10000)
        #expect(description.contextLength == context)
    }

    @Test func `a stated context is taken as it is`() throws {
        let description = try open {
            $0.ropeScaling = try? JSONParser.parse(#"{"rope_type": "linear", "factor": 4}"#)
            $0.values["max_position_embeddings"] = 200
        }
        #expect(description.contextLength == 200)
    }

    @Test func `keys of both spellings take the place of each other`() throws {
        let theta = try open { $0.values["rope_theta"] = 5000 }
        #expect(theta.rotary.theta == 5000 && theta.contextLength == 128)
        let scaled = try open {
            $0.values["rope_scaling"] = try? JSONParser.parse(#"{"type": "linear", "factor": 2}"#)
            $0.values["rms_norm_eps"] = 0.25
        }
        #expect(scaled.rotary.scaling == .linear(factor: 2))
        #expect(scaled.shape.normEpsilon == 0.25)
    }

    @Test func `what cannot be is refused as in the file itself`() throws {
        for text in ["[1]", #"{"rope_type": "unheard"}"#, #"{"rope_type": "linear", "factor": 0}"#]
        {
            #expect(throws: (any Error).self, "\(text)") {
                try open { $0.ropeScaling = try? JSONParser.parse(text) }
            }
        }
        #expect(throws: (any Error).self) { try open { $0.values["num_hidden_layers"] = "many" } }
    }
}
