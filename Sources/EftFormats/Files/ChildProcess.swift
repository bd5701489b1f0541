// SPDX-License-Identifier: Apache-2.0
// Starting other programs.

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Programs that this one starts.
package enum ChildProcess {
    /// Starts a program in a process group of its own: Ctrl-C is this program's to answer, and what the other one starts
    /// can be ended with it.
    /// - Parameters:
    ///   - path: the program's file.
    ///   - arguments: all of them, the name first.
    ///   - descriptors: this program's, and as which the other one has them.
    /// - Returns: the process, and the system's number of what kept it from being started; 0 when nothing did.
    package static func start(
        _ path: String, _ arguments: [String], descriptors: [(own: Int32, child: Int32)]
    ) -> (process: pid_t, fault: Int32) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (own, child) in descriptors {
            posix_spawn_file_actions_adddup2(&actions, own, child)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var defaults = sigset_t()
        sigemptyset(&defaults)
        sigaddset(&defaults, SIGPIPE)
        posix_spawnattr_setsigdefault(&attributes, &defaults)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF))
        let texts = arguments.map { strdup($0) }
        defer { texts.forEach { free($0) } }
        var process: pid_t = 0
        let fault = posix_spawn(&process, path, &actions, &attributes, texts + [nil], environ)
        return (process, fault)
    }
}
