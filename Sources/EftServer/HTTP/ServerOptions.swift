// SPDX-License-Identifier: Apache-2.0
// Where a server listens, and what it bears.

/// Where a server listens.
package enum ServerAddress: Sendable, Hashable, CustomStringConvertible {
    /// A numeric address or `localhost`; port 0 takes a free one.
    case tcp(host: String, port: UInt16)
    /// A socket in the file system, open to its owner alone.
    case unix(path: String)

    package var description: String {
        switch self {
        case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }
}

/// Where a server listens, and what it bears.
package struct ServerOptions: Sendable {
    /// A certificate chain and its key, as PEM texts.
    package struct Secrets: Sendable {
        /// The server's certificate, and those that signed it.
        package let certificate: String
        /// The certificate's key.
        package let key: String

        /// Pairs a certificate with its key.
        package init(certificate: String, key: String) {
            self.certificate = certificate
            self.key = key
        }
    }

    /// Where to listen.
    package var address = ServerAddress.tcp(host: "127.0.0.1", port: 8000)
    /// For HTTPS.
    package var secrets: Secrets?
    /// The most connections at a time; further ones wait to be accepted.
    package var connectionLimit = 1024
    /// How long a header may take.
    package var headerTimeout = Duration.seconds(10)
    /// How long a body may take.
    package var bodyTimeout = Duration.seconds(120)
    /// How long a connection may be idle between requests; longer than common clients keep theirs, which would else send a
    /// request just as the connection is closed.
    package var keepAliveTimeout = Duration.seconds(15)
    /// How long a client may take none of what is sent to it.
    package var writeTimeout = Duration.seconds(60)
    /// Threads that run handlers.
    package var handlerThreads = 2

    /// The defaults.
    package init() {}
}
