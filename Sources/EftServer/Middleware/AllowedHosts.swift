// SPDX-License-Identifier: Apache-2.0
// Under which names the server answers.
import EftConfig

#if canImport(Glibc)
    import Glibc
#endif

/// The hosts that requests may name.
///
/// A web page can give its own name the address of this machine after it was loaded (DNS rebinding). The browser then takes
/// the server for the page's own, and hands the page all answers; but its requests still carry the page's name as their
/// `Host`. So a server that asks for no key answers only to names that no page of others has.
package struct AllowedHosts: Sendable {
    private enum Rule: Sendable {
        case any
        /// Whether the server is one of a network, which its neighbours reach in any case.
        case some(Set<HostName>, isShared: Bool)
    }

    /// Names below these are never those of a page on the Internet: they are kept for this machine, for its neighbours
    /// (RFC 6761, RFC 6762), and for networks of their own (ICANN, 2024), such as `host.docker.internal`.
    private static let reserved = [".localhost", ".local", ".internal"]

    private let rule: Rule

    private init(_ rule: Rule) { self.rule = rule }

    /// All hosts.
    package static let any = AllowedHosts(.any)

    /// The hosts of a server.
    ///
    /// With keys any host is taken, unless `added` names some: a page that has no key learns nothing. So it is with sockets in
    /// the file system, which no browser reaches. Otherwise these are taken: `localhost` and the loopback addresses, what
    /// `added` names, the address that is bound, and, when that is not a loopback address, the machine's own name, names that
    /// no page on the Internet can have, and all addresses: a page has always a name, unless it is this server's own.
    /// - Parameter added: further hosts; `*` for any.
    package init(_ address: ServerAddress, added: [String], hasKeys: Bool) {
        guard case .tcp(let host, _) = address, !added.contains("*"),
            !(hasKeys && added.isEmpty)
        else {
            self = .any
            return
        }
        var hosts = Set(added.compactMap { HostName(field: $0) ?? HostName(bare: $0) })
        hosts.insert(.name("localhost"))
        let bound = HostName(bare: host)
        if let bound { hosts.insert(bound) }
        let isLocal = bound?.isLoopback ?? false
        if !isLocal { hosts.formUnion(AllowedHosts.machine) }
        rule = .some(hosts, isShared: !isLocal)
    }

    /// Whether a text can be one of the hosts.
    package static func isHost(_ text: String) -> Bool {
        text == "*" || HostName(field: text) != nil || HostName(bare: text) != nil
    }

    /// The names by which the machine's neighbours know it.
    private static var machine: [HostName] {
        var bytes = [CChar](repeating: 0, count: 256)
        guard gethostname(&bytes, bytes.count - 1) == 0 else { return [] }
        let whole = String(
            decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let short = String(whole.prefix { $0 != "." })
        return [whole, short].compactMap { HostName(bare: $0) }.filter { !$0.isAddress }
    }

    /// Checks a request's host.
    /// - Throws: 403.
    func check(_ head: RequestHead) throws(HTTPFailure) {
        guard case .some(let hosts, let isShared) = rule else { return }
        // Only HTTP/1.0 may leave it out, which no browser speaks.
        guard let field = head.fields["Host"] else { return }
        if let host = HostName(field: field) {
            if hosts.contains(host) || host.isLoopback { return }
            if isShared, AllowedHosts.isPrivate(host) { return }
        }
        throw HTTPFailure(
            403, type: "PermissionDeniedError",
            "this server does not answer as the host '\(excerpt(field, limit: 100))', which protects it "
                + "from web pages; start it with --allowed-hosts and that name, or with --api-key")
    }

    /// Whether no page on the Internet can have the host.
    private static func isPrivate(_ host: HostName) -> Bool {
        guard case .name(let name) = host else { return true }
        return reserved.contains { name.hasSuffix($0) }
    }
}
