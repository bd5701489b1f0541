// SPDX-License-Identifier: Apache-2.0
// Which inputs share a scale.
import EftFormats
import EftTensor

/// The inputs of a weight in groups, each with a scale and a zero point for each output.
struct IntegerGroups: Sendable {
    /// Inputs of each group.
    let sizes: [Int]
    /// The input at each place, where groups are not runs of inputs; else empty.
    let permutation: [UInt32]

    /// Groups that are runs of inputs, all but the last of the same size.
    /// - Returns: nil when so many groups do not divide so many inputs, or do not begin with a block of 32 inputs.
    init?(count: Int, inputs: Int, size: Int? = nil) {
        guard count > 0, count <= inputs else { return nil }
        let size = size ?? (inputs + count - 1) / count
        guard size > 0, (inputs + size - 1) / size == count, count == 1 || size % 32 == 0 else {
            return nil
        }
        sizes = (0..<count).map { min(size, inputs - $0 * size) }
        permutation = []
    }

    /// Groups by the group of each input.
    /// - Returns: nil when a group does not exist, is empty, or does not begin with a block of 32 inputs.
    init?(of inputs: [UInt32], count: Int) {
        var sizes = [Int](repeating: 0, count: count)
        for group in inputs {
            guard group < UInt32(count) else { return nil }
            sizes[Int(group)] += 1
        }
        guard count > 0, sizes.dropLast().allSatisfy({ $0 > 0 && $0 % 32 == 0 }),
            sizes.last.map({ $0 > 0 }) ?? false
        else { return nil }
        self.sizes = sizes
        if zip(inputs, inputs.dropFirst()).allSatisfy({ $0 <= $1 }) {
            permutation = []
            return
        }
        var next = sizes.indices.map { sizes[..<$0].reduce(0, +) }
        var permutation = [UInt32](repeating: 0, count: inputs.count)
        for (input, group) in inputs.enumerated() {
            permutation[next[Int(group)]] = UInt32(input)
            next[Int(group)] += 1
        }
        self.permutation = permutation
    }

    /// Blocks of 32 inputs of each group.
    var blocks: [Int] { sizes.map { ($0 + 31) / 32 } }

    /// The group of each block of 32 places.
    var groupOfBlock: [Int] {
        blocks.enumerated().flatMap { [Int](repeating: $0.offset, count: $0.element) }
    }

    /// The input at a place.
    func input(_ place: Int, of inputs: Int) -> Int? {
        guard place < inputs else { return nil }
        return permutation.isEmpty ? place : Int(permutation[place])
    }
}
