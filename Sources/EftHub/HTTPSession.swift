// SPDX-License-Identifier: Apache-2.0
// Transfers over HTTP, one after the other.
import CCurl
import EftConfig

/// A request over HTTP.
struct HTTPRequest {
    let url: String
    var fields: [String] = []
    var token: String?
    var certificates: String?
    var isHead = false
}

/// The head of an answer.
struct HTTPHead {
    var status = 0
    /// Fields by their name in lower-case letters; of answers that lead elsewhere those of the hub itself.
    var fields: [String: String] = [:]

    /// Fields that the hub sends along when it leads elsewhere.
    private static let lasting: Set<String> = ["x-linked-size", "x-linked-etag", "x-repo-commit"]

    /// Takes a line.
    fileprivate mutating func take(line: String) {
        if line.hasPrefix("HTTP/") {
            let words = line.split(separator: " ")
            let kept = fields.filter { Self.lasting.contains($0.key) }
            self = HTTPHead(status: words.count > 1 ? Int(words[1]) ?? 0 : 0, fields: kept)
        } else if let colon = line.firstIndex(of: ":") {
            let name = line[..<colon].lowercased()
            if Self.lasting.contains(name), fields[name] != nil { return }
            let value = line[line.index(after: colon)...].drop { $0.isWhitespace }
            fields[name] = String(value.reversed().drop { $0.isWhitespace }.reversed())
        }
    }
}

/// How a transfer ended.
enum HTTPEnd {
    /// An answer came to its end.
    case answered(HTTPHead)
    /// A function that was given ended it.
    case stopped
    /// The host was not reached, or the connection broke.
    case broken(String)
    /// Another attempt would not help.
    case refused(String)
}

/// Makes transfers on connections that it keeps; one thread uses it.
final class HTTPSession {
    private let session: OpaquePointer

    private static let stalledSeconds = 60
    private static let agent = "eft/\(ProgramVersion.current)"

    /// What the C functions get.
    private final class Receiver {
        var head = HTTPHead()
        let onBody: (HTTPHead, UnsafeRawBufferPointer) -> Bool
        let mayGoOn: () -> Bool

        init(
            _ onBody: @escaping (HTTPHead, UnsafeRawBufferPointer) -> Bool,
            _ mayGoOn: @escaping () -> Bool
        ) {
            self.onBody = onBody
            self.mayGoOn = mayGoOn
        }

        static func at(_ context: UnsafeMutableRawPointer?) -> Receiver? {
            context.map { Unmanaged<Receiver>.fromOpaque($0).takeUnretainedValue() }
        }

        func take(line: UnsafeRawBufferPointer) {
            head.take(line: String(decoding: line, as: UTF8.self))
        }
    }

    /// Opens libcurl.
    /// - Throws: `HubError` when the system has none.
    init() throws(HubError) {
        guard let session = eft_curl_open() else {
            throw HubError(
                .unreachable,
                "downloads need libcurl, which is not installed (Debian, Ubuntu: apt-get install libcurl3-gnutls)"
            )
        }
        self.session = session
    }

    deinit { eft_curl_close(session) }

    /// Makes a transfer and waits for its end.
    /// - Parameters:
    ///   - onBody: takes bytes of the body of the last answer; says whether to go on.
    ///   - shouldStop: asked now and then.
    func perform(
        _ request: HTTPRequest, shouldStop: () -> Bool,
        onBody: (HTTPHead, UnsafeRawBufferPointer) -> Bool
    ) -> HTTPEnd {
        withoutActuallyEscaping(onBody) { onBody in
            withoutActuallyEscaping(shouldStop) { shouldStop in
                let receiver = Receiver(onBody) { !shouldStop() }
                return withExtendedLifetime(receiver) { perform(request, receiver) }
            }
        }
    }

    private func perform(_ request: HTTPRequest, _ receiver: Receiver) -> HTTPEnd {
        var options = eft_curl_request()
        options.is_head = request.isHead ? 1 : 0
        options.stalled_seconds = Self.stalledSeconds
        options.context = Unmanaged.passUnretained(receiver).toOpaque()
        options.on_line = { context, bytes, count in
            Receiver.at(context)?.take(line: UnsafeRawBufferPointer(start: bytes, count: count))
            return 1
        }
        options.on_body = { context, bytes, count in
            guard let receiver = Receiver.at(context) else { return 0 }
            let bytes = UnsafeRawBufferPointer(start: bytes, count: count)
            return receiver.onBody(receiver.head, bytes) ? 1 : 0
        }
        options.on_wait = { Receiver.at($0)?.mayGoOn() ?? false ? 1 : 0 }
        var text = [CChar](repeating: 0, count: 256)
        let texts = [request.url, Self.agent] + request.fields
        let outcome = Self.withPointers(texts) { pointers in
            Self.withPointer(request.token) { token in
                Self.withPointer(request.certificates) { certificates in
                    pointers.withUnsafeBufferPointer { all in
                        options.url = all[0]
                        options.user_agent = all[1]
                        options.field_count = all.count - 2
                        options.fields = all.baseAddress.map { $0 + 2 }
                        options.token = token
                        options.certificates = certificates
                        return eft_curl_perform(session, &options, &text, text.count)
                    }
                }
            }
        }
        let words = String(
            decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        switch outcome {
        case EFT_CURL_DONE: return .answered(receiver.head)
        case EFT_CURL_STOPPED: return .stopped
        case EFT_CURL_BROKEN: return .broken(words)
        default: return .refused(words)
        }
    }

    /// Calls `body` with the texts as C strings.
    private static func withPointers<R>(
        _ texts: [String], _ body: ([UnsafePointer<CChar>?]) -> R
    ) -> R {
        func with(_ rest: ArraySlice<String>, _ pointers: [UnsafePointer<CChar>?]) -> R {
            guard let first = rest.first else { return body(pointers) }
            return first.withCString { with(rest.dropFirst(), pointers + [$0]) }
        }
        return with(texts[...], [])
    }

    private static func withPointer<R>(
        _ text: String?, _ body: (UnsafePointer<CChar>?) -> R
    ) -> R {
        guard let text else { return body(nil) }
        return text.withCString(body)
    }
}
