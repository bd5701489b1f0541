// SPDX-License-Identifier: Apache-2.0
// The hub's interface over HTTP.
import EftConfig

#if canImport(Glibc)
    import Glibc
#endif

/// Asks the hub, again where that may help.
package struct HubClient: Sendable {
    /// Where the hub is.
    package let settings: HubSettings

    private static let mostAttempts = 6
    private static let fewAttempts = 3
    private static let longestDelay = 300.0
    private static let listingBytes = 64 << 20

    /// A client.
    package init(_ settings: HubSettings) { self.settings = settings }

    // MARK: Questions

    /// The files of a repository.
    /// - Parameter shouldStop: asked now and then.
    /// - Throws: `HubError`.
    package func listing(
        _ repository: HubRepository, revision: String?, shouldStop: () -> Bool
    ) throws(HubError) -> HubListing {
        let revision = revision ?? HubName.mainRevision
        let address =
            "\(settings.endpoint)/api/\(repository.kind.rawValue)s/\(repository.id)/revision/"
            + "\(Self.escaped(revision, keepsSlashes: false))?blobs=true"
        var body: [UInt8] = []
        let head = try attempt(
            address, about: repository.id, at: revision, shouldStop: shouldStop,
            restart: { body = [] }
        ) { _, bytes in
            guard body.count + bytes.count <= Self.listingBytes else { return false }
            body += bytes
            return true
        }
        guard head != nil else {
            throw HubError(
                .damaged, "the hub's list of files is longer than any should be", path: address)
        }
        let node: ConfigNode
        do {
            node = try JSONParser.parse(body, file: address)
        } catch {
            let kind = excerpt(head?.fields["content-type"] ?? "no type")
            throw HubError(
                .damaged,
                "the answer (\(kind)) is not the hub's list of files; check HF_ENDPOINT",
                path: address)
        }
        do {
            return try HubListing(ConfigCursor(node, file: address))
        } catch {
            throw HubError(
                .damaged, "the hub's list of files cannot be used: \(error.message)", path: address,
                keyPath: error.keyPath)
        }
    }

    /// A file of a listing with its size and digest, asked for where the listing lacks them.
    /// - Throws: `HubError`.
    func complete(
        _ file: HubFile, _ repository: HubRepository, commit: String, shouldStop: () -> Bool
    ) throws(HubError) -> HubFile {
        if file.size != nil, file.digest != nil { return file }
        let address = address(repository, commit: commit, path: file.path)
        let head = try attempt(
            address, about: "\(repository.id)/\(file.path)", at: commit, isHead: true,
            shouldStop: shouldStop
        ) { _, _ in true }
        let fields = head?.fields ?? [:]
        let tag = fields["x-linked-etag"] ?? fields["etag"]
        let size = fields["x-linked-size"] ?? fields["content-length"]
        guard let digest = file.digest ?? tag.flatMap(BlobDigest.init(entityTag:)),
            let size = file.size ?? size.flatMap({ Int($0) }),
            (0...HubListing.mostBytes).contains(size)
        else {
            throw HubError(
                .unsupported, "the hub does not say of what size and content the file is",
                path: address)
        }
        return HubFile(path: file.path, size: size, digest: digest)
    }

    /// The address of a file.
    func address(_ repository: HubRepository, commit: String, path: String) -> String {
        "\(settings.endpoint)/\(repository.kind.addressFolder)\(repository.id)/resolve/\(commit)/"
            + Self.escaped(path, keepsSlashes: true)
    }

    /// A text as a part of an address.
    static func escaped(_ text: String, keepsSlashes: Bool) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "_"), UInt8(ascii: "~"):
                bytes.append(byte)
            case UInt8(ascii: "/") where keepsSlashes: bytes.append(byte)
            default: bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    // MARK: Attempts

    /// Makes a transfer, and makes it again where the connection broke or the hub is busy.
    /// - Parameters:
    ///   - name: what is asked for, in messages.
    ///   - session: the connections to use; new ones when nil.
    ///   - fields: of the next attempt.
    ///   - restart: called before each attempt of a transfer that begins anew; nil where attempts go on where the last
    ///     one ended.
    ///   - onBody: takes bytes of a good answer; says whether to go on.
    /// - Returns: the answer's head; nil when `onBody` ended it.
    /// - Throws: `HubError`.
    @discardableResult
    func attempt(
        _ address: String, about name: String, at revision: String, isHead: Bool = false,
        session: HTTPSession? = nil, fields: () -> [String] = { [] }, shouldStop: () -> Bool,
        restart: (() -> Void)? = nil, onBody: (HTTPHead, UnsafeRawBufferPointer) -> Bool
    ) throws(HubError) -> HTTPHead? {
        if let variable = settings.offlineVariable {
            throw HubError(
                .unreachable,
                "\(excerpt(name)) is not in the cache of Hugging Face, and \(variable) forbids to fetch it"
            )
        }
        let session = if let session { session } else { try HTTPSession() }
        var number = 0
        while true {
            restart?()
            let request = HTTPRequest(
                url: address, fields: fields() + ["Accept-Encoding: identity"],
                token: settings.token, certificates: settings.certificates, isHead: isHead)
            var progressed = false
            let end = session.perform(request, shouldStop: shouldStop) { head, bytes in
                guard (200..<300).contains(head.status) else { return true }
                progressed = true
                return onBody(head, bytes)
            }
            number = progressed && restart == nil ? 1 : number + 1
            let failure: HubError
            var delay: Double?
            switch end {
            case .answered(let head) where (200..<300).contains(head.status): return head
            case .answered(let head):
                failure = refusal(head, name, revision)
                delay = Self.delay(head)
                guard head.status == 429 || head.status >= 500, number < Self.mostAttempts,
                    delay ?? 0 <= Self.longestDelay
                else { throw failure }
            case .stopped:
                guard !shouldStop() else { throw Self.stopped(name) }
                return nil
            case .broken(let words):
                failure = unreachable(words)
                // A first question that nobody answers has waited long enough already.
                guard number < (restart == nil ? Self.mostAttempts : Self.fewAttempts) else {
                    throw failure
                }
            case .refused(let words): throw unreachable(words)
            }
            let usual = settings.firstDelay * Double(1 << min(number - 1, 8))
            try Self.wait(delay ?? usual, name, shouldStop)
        }
    }

    static func stopped(_ name: String) -> HubError {
        HubError(
            .stopped,
            "stopped while fetching \(excerpt(name)); the same command goes on where it was")
    }

    private static func wait(
        _ seconds: Double, _ name: String, _ shouldStop: () -> Bool
    ) throws(HubError) {
        let end = ContinuousClock.now + .seconds(min(max(seconds, 0), longestDelay))
        while ContinuousClock.now < end {
            guard !shouldStop() else { throw stopped(name) }
            usleep(20_000)
        }
    }

    /// Seconds that the hub asks to wait.
    private static func delay(_ head: HTTPHead) -> Double? {
        if let text = head.fields["retry-after"], let seconds = Double(text), seconds.isFinite {
            return max(seconds, 0)
        }
        // `"resolvers";r=0;t=55`
        for part in (head.fields["ratelimit"] ?? "").split(separator: ";")
        where part.hasPrefix("t=") {
            return Double(part.dropFirst(2)).map { max($0, 0) }
        }
        return nil
    }

    // MARK: Refusals

    private func unreachable(_ words: String) -> HubError {
        HubError(
            .unreachable,
            "the hub \(excerpt(settings.endpoint, limit: 200)) cannot be reached: \(excerpt(words, limit: 200)); "
                + "behind a proxy set HTTPS_PROXY, for a mirror HF_ENDPOINT, for other certificates SSL_CERT_FILE"
        )
    }

    private func refusal(_ head: HTTPHead, _ name: String, _ revision: String) -> HubError {
        let name = excerpt(name, limit: 200)
        let words = head.fields["x-error-message"].map { ": \(excerpt($0, limit: 200))" } ?? ""
        let page = "\(settings.endpoint)/\(name)"
        switch (head.status, head.fields["x-error-code"]) {
        case (_, "GatedRepo"):
            return HubError(
                .denied,
                "\(name) is given only to those who have agreed to its terms; agree at \(page), and set HF_TOKEN to "
                    + "a token of your account (or run 'hf auth login')")
        case (_, "RevisionNotFound"):
            return HubError(.notFound, "\(name) has no revision '\(excerpt(revision))'")
        case (_, "EntryNotFound"): return HubError(.notFound, "\(name) is not there\(words)")
        case (401, _), (403, _):
            let token =
                settings.token == nil
                ? "for a private one set HF_TOKEN (or run 'hf auth login')"
                : "the token that is set has no right to read it"
            return HubError(
                head.status == 401 ? .notFound : .denied,
                "the hub knows no open repository \(name); check the name; \(token)\(words)")
        case (404, _): return HubError(.notFound, "the hub has no \(name)\(words)")
        case (429, _):
            return HubError(
                .limited,
                "the hub asks for fewer requests\(words); wait some minutes and run it again"
                    + (settings.token == nil
                        ? ", or set HF_TOKEN, with which more are allowed" : ""))
        default:
            return HubError(
                head.status >= 500 ? .unreachable : .denied,
                "the hub answered \(head.status) for \(name)\(words)")
        }
    }
}
