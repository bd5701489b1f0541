// SPDX-License-Identifier: Apache-2.0
// Several logical devices over one pool of workers.

extension CPUBackend {
    /// Devices with a ledger each; the first one's leaves room for the program itself.
    /// - Parameters:
    ///   - limits: bytes that each device may hold; at least one.
    ///   - programBytes: what the program itself holds.
    ///   - first: makes the first device, whose workers the others share.
    package static func devices(
        limits: [Int], programBytes: Int, first: (MemoryLedger) throws -> CPUBackend
    ) rethrows -> [CPUBackend] {
        let room = limits[0] == .max ? limits[0] : max(0, limits[0] - programBytes)
        let device = try first(
            MemoryLedger(limit: room, name: limits.count > 1 ? "device 0" : "memory"))
        return [device]
            + limits.indices.dropFirst().map { place in
                CPUBackend(
                    sharing: device,
                    ledger: MemoryLedger(limit: limits[place], name: "device \(place)"))
            }
    }
}
