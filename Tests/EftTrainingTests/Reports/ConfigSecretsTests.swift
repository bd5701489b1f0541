// SPDX-License-Identifier: Apache-2.0
// What of a configuration others may see.
import EftConfig
import Testing

@testable import EftTraining

@Suite struct ConfigSecretsTests {
    @Test(arguments: [
        "hub_token", "hf_token", "token", "wandb_api_key", "comet_api_key", "COMET-API-KEY",
        "swanlab_lark_secret", "swanlab_lark_webhook_url", "password", "aws_secret_access_key",
        "hf_auth_token", "comet_experiment_key",
    ])
    func `keys that hold secrets`(_ key: String) { #expect(ConfigSecrets.isSecret(key)) }

    @Test(arguments: [
        "pad_token", "eos_token", "eot_tokens", "special_tokens", "tokens", "tokenizer_config",
        "template_thinking_key", "total_num_tokens", "base_model", "hub_model_id", "keys",
    ])
    func `keys that hold none`(_ key: String) { #expect(!ConfigSecrets.isSecret(key)) }

    @Test func `secrets go at every depth, all else stays`() throws {
        let text = """
            base_model: base
            hub_token: abc
            hf_use_auth_token: true
            special_tokens: {pad_token: <pad>}
            nested: [{wandb_api_key: "0123", project: mine}, plain, "hf_abcdefghijklmnopqrstu"]
            mlflow_tracking_uri: https://me:word@host.example:5000/path
            other_uri: https://host.example/a@b
            comet_api_key:
            swanlab_api_key: 12345
            """
        let expected = """
            base_model: base
            hub_token: (left out)
            hf_use_auth_token: true
            special_tokens: {pad_token: <pad>}
            nested: [{wandb_api_key: (left out), project: mine}, plain, (left out)]
            mlflow_tracking_uri: https://(left out)@host.example:5000/path
            other_uri: https://host.example/a@b
            comet_api_key:
            swanlab_api_key: (left out)
            """
        #expect(
            try ConfigSecrets.removed(from: YAMLParser.parse(text)) == YAMLParser.parse(expected))
    }
}
