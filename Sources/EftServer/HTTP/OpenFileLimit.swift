// SPDX-License-Identifier: Apache-2.0
// How many files, and so connections, the system lets a process have open.

#if canImport(Glibc)
    import Glibc
#endif

/// The system's limit on files that a process has open.
package enum OpenFileLimit {
    private static let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)

    /// The limit; 0 when it is not known.
    static var current: Int {
        var limit = rlimit()
        return getrlimit(resource, &limit) == 0 ? Int(clamping: limit.rlim_cur) : 0
    }

    /// Raises the limit, as far as the system allows.
    package static func raise(to count: Int) {
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0, limit.rlim_cur < rlim_t(count) else { return }
        limit.rlim_cur = min(rlim_t(count), limit.rlim_max)
        setrlimit(resource, &limit)
    }
}
