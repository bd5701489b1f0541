// SPDX-License-Identifier: Apache-2.0
// The clock that Prometheus reads.

#if canImport(Glibc)
    import Glibc
#endif

/// Seconds since 1970.
package enum UnixTime {
    /// Now.
    package static var now: Double {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    /// Now, in whole seconds.
    package static var seconds: Int { Int(now) }
}
