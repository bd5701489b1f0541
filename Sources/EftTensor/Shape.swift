// SPDX-License-Identifier: Apache-2.0
// Tensor extents, outermost first.

/// The extents of a tensor, outermost first; an empty list is a scalar.
package struct Shape: Sendable, Hashable, CustomStringConvertible {
    /// Extents, outermost first; none is negative.
    package let dims: [Int]
    /// Number of elements: the product of all extents, 1 for a scalar.
    package let count: Int

    /// Makes a shape from extents that came from outside.
    /// - Throws: `TensorError` when an extent is negative or the number of elements overflows.
    package init(checking dims: [Int]) throws(TensorError) {
        guard dims.allSatisfy({ $0 >= 0 }) else {
            throw TensorError(.invalidShape, "shape \(dims) has a negative extent")
        }
        guard let count = checkedProduct(dims) else {
            throw TensorError(
                .invalidShape, "shape \(dims) has more elements than 64 bits can count")
        }
        self.dims = dims
        self.count = count
    }

    /// Makes a shape from extents that the program itself computed.
    package init(_ dims: Int...) {
        precondition(dims.allSatisfy { $0 >= 0 }, "negative extent in \(dims)")
        self.dims = dims
        self.count = dims.reduce(1, *)
    }

    package var description: String { "[" + dims.map(String.init).joined(separator: ", ") + "]" }
}

/// The product of non-negative factors, or nil when it does not fit in an `Int`.
package func checkedProduct(_ factors: [Int]) -> Int? {
    // A zero anywhere makes the product zero, however large the others are.
    if factors.contains(0) { return 0 }
    var product = 1
    for factor in factors {
        let (next, overflow) = product.multipliedReportingOverflow(by: factor)
        if overflow { return nil }
        product = next
    }
    return product
}

/// `value` rounded up to a multiple of `unit`.
@inlinable package func roundUp(_ value: Int, to unit: Int) -> Int {
    (value + unit - 1) / unit * unit
}
