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
        pthread_cond_init(condition, nil)
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
