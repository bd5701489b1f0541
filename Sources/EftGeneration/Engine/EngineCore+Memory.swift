// SPDX-License-Identifier: Apache-2.0
// When the memory of pages that no request uses is given back.
import EftNN
import EftTensor

extension EngineCore {
    /// Seconds between two looks at memory.
    static let memoryLookSeconds = 1.0

    /// Whether pages are in memory that no request uses.
    var holdsIdleMemory: Bool {
        cache.withTable { $0.oldestLeave } != nil
    }

    /// Gives back what was not used for the configured time, or all that is not in use when the machine is short of memory.
    /// Does nothing when it was called a moment ago.
    func giveBackMemory(now: ContinuousClock.Instant = .now) {
        guard now >= memoryLook else { return }
        memoryLook = now + .seconds(EngineCore.memoryLookSeconds)
        guard holdsIdleMemory else { return }
        if MachineMemory.isShort {
            giveBackMemory(unusedSince: now)
        } else if let time = configuration.idlePageTime {
            giveBackMemory(unusedSince: now - time)
        }
    }

    /// Gives the memory of pages back that no request has used since a time; what they cache is read again when it is asked for.
    package func giveBackMemory(unusedSince time: ContinuousClock.Instant) {
        let bytes = cache.giveBack(unusedSince: time)
        drafts?.giveBack(unusedSince: time)
        guard bytes > 0 else { return }
        IdleMemory.giveBack()
    }
}
