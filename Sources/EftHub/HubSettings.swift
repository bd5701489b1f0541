// SPDX-License-Identifier: Apache-2.0
// The environment that Hugging Face's own tools read.
import EftConfig
import EftFormats

#if canImport(Glibc)
    import Glibc
#endif

/// Where the hub and its cache are, and how to go there.
package struct HubSettings: Sendable {
    /// The address of the hub, without a slash at its end: `HF_ENDPOINT`.
    package var endpoint = HubSettings.publicEndpoint
    /// The folder of the cache: `HF_HUB_CACHE`, `HF_HOME/hub`, `~/.cache/huggingface/hub`; nil when nothing says where
    /// it is.
    package var cacheFolder: String?
    /// The user's token: `HF_TOKEN`, or what `hf auth login` has kept.
    package var token: String?
    /// The variable by which fetching is forbidden; nil when it is allowed.
    package var offlineVariable: String?
    /// A file of certificates to trust instead of the system's.
    package var certificates: String?
    /// Seconds before a second attempt; twice as many before each later one.
    package var firstDelay = 1.0
    /// Transfers at a time.
    package var connections = 8
    /// Bytes of a file that one transfer fetches.
    package var partBytes = 64 << 20

    /// The hub of Hugging Face.
    package static let publicEndpoint = "https://huggingface.co"

    /// Settings without an environment.
    package init() {}

    /// Reads the environment.
    /// - Parameter variable: the value of a variable.
    package init(environment variable: (String) -> String?) {
        func text(_ name: String) -> String? {
            variable(name).flatMap { $0.isEmpty ? nil : $0 }
        }
        func path(_ name: String, _ below: String = "") -> String? {
            guard let text = text(name) else { return nil }
            guard text.hasPrefix("~/") else { return text + below }
            return variable("HOME").map { $0 + text.dropFirst() + below }
        }
        func isOn(_ name: String) -> Bool {
            ["1", "ON", "YES", "TRUE"].contains(text(name)?.uppercased() ?? "")
        }
        if let address = text("HF_ENDPOINT") {
            endpoint = address
            while endpoint.hasSuffix("/") { endpoint.removeLast() }
        }
        let home =
            path("HF_HOME") ?? path("XDG_CACHE_HOME", "/huggingface")
            ?? path("HOME", "/.cache/huggingface")
        cacheFolder =
            path("HF_HUB_CACHE") ?? path("HUGGINGFACE_HUB_CACHE") ?? home.map { $0 + "/hub" }
        if !isOn("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            let kept = path("HF_TOKEN_PATH") ?? home.map { $0 + "/token" }
            token = text("HF_TOKEN") ?? text("HUGGING_FACE_HUB_TOKEN") ?? kept.flatMap(Self.line)
        }
        // A token goes into a line of a request.
        token = token.map { $0.filter { !$0.isWhitespace } }
        token = token.flatMap { token in
            !token.isEmpty && token.utf8.allSatisfy { 0x21...0x7e ~= $0 } ? token : nil
        }
        offlineVariable = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"]
            .first(where: isOn)
        certificates =
            ["CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"]
            .compactMap { path($0) }.first
    }

    /// The settings of this process.
    package static var ofUser: HubSettings {
        HubSettings { name in getenv(name).map { String(cString: $0) } }
    }

    private static func line(_ path: String) -> String? {
        guard let bytes = try? ConfigFile.contents(path, maximumSize: 1 << 16) else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }
}
