// SPDX-License-Identifier: Apache-2.0
// A lock with a condition, and a thread: what work beside the computation needs.

#if canImport(Glibc)
    import Glibc
#endif

/// A state behind a lock on which threads can wait for each other.
package final class Monitor<State>: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>
    private var state: State

    /// Puts a state behind a lock.
    package init(_ state: State) {
        self.state = state
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        condition.initialize(to: pthread_cond_t())
        pthread_mutex_init(mutex, nil)
        // Waits end by a clock that nobody sets.
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Looks at the state or changes it, alone, and wakes all that wait.
    package func withLock<R>(_ body: (inout State) throws -> R) rethrows -> R {
        pthread_mutex_lock(mutex)
        defer {
            pthread_cond_broadcast(condition)
            pthread_mutex_unlock(mutex)
        }
        return try body(&state)
    }

    /// Waits until `body` gives a value; it is asked again after each change.
    package func wait<R>(_ body: (inout State) throws -> R?) rethrows -> R {
        pthread_mutex_lock(mutex)
        defer {
            pthread_cond_broadcast(condition)
            pthread_mutex_unlock(mutex)
        }
        while true {
            if let value = try body(&state) { return value }
            pthread_cond_wait(condition, mutex)
        }
    }

    /// Waits as `wait`, but no longer than a time.
    /// - Returns: nil when the time was up before `body` gave a value.
    package func wait<R>(
        atMost seconds: Double, _ body: (inout State) throws -> R?
    ) rethrows -> R? {
        var end = timespec()
        clock_gettime(CLOCK_MONOTONIC, &end)
        let (whole, fraction) = (
            Int(min(max(seconds, 0), 1e9)), max(seconds, 0).truncatingRemainder(dividingBy: 1)
        )
        end.tv_sec += whole
        end.tv_nsec += Int(fraction * 1e9)
        if end.tv_nsec >= 1_000_000_000 {
            end.tv_sec += 1
            end.tv_nsec -= 1_000_000_000
        }
        pthread_mutex_lock(mutex)
        defer {
            pthread_cond_broadcast(condition)
            pthread_mutex_unlock(mutex)
        }
        while true {
            if let value = try body(&state) { return value }
            guard pthread_cond_timedwait(condition, mutex, &end) == 0 else {
                return try body(&state)
            }
        }
    }
}

/// A thread that runs one function and is joined by its owner.
package final class WorkerThread: @unchecked Sendable {
    private var handle = pthread_t()
    private var isRunning = false

    private final class Task {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// Starts the thread.
    /// - Throws: `TensorError` (`unsupportedMachine`) when the system has none left.
    package init(_ body: @escaping @Sendable () -> Void) throws(TensorError) {
        let task = Unmanaged.passRetained(Task(body))
        let status = pthread_create(
            &handle, nil,
            { pointer in
                if let pointer {
                    Unmanaged<Task>.fromOpaque(pointer).takeRetainedValue().body()
                }
                return nil
            }, task.toOpaque())
        guard status == 0 else {
            task.release()
            throw TensorError(
                .unsupportedMachine,
                "the system refused a thread: \(String(cString: strerror(status)))")
        }
        isRunning = true
    }

    /// Lets the thread end by itself: nobody joins it, and the system takes back what it held.
    package func detach() {
        guard isRunning else { return }
        pthread_detach(handle)
        isRunning = false
    }

    /// Waits for the function to end.
    package func join() {
        guard isRunning else { return }
        pthread_join(handle, nil)
        isRunning = false
    }
}
