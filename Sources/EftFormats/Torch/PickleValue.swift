// SPDX-License-Identifier: Apache-2.0
// What a pickle of tensors can hold.
import EftTensor

/// A value made by a pickle; containers are numbers of entries in a `PickleHeap`.
///
/// Numbers instead of references: a pickle may nest a million deep or contain itself, and freeing such a graph of
/// objects would run over the stack or never happen.
enum PickleValue: Sendable {
    case none
    case bool(Bool)
    case integer(Int)
    /// An integer of more than 64 bits, two's complement, little-endian.
    case longInteger([UInt8])
    case real(Double)
    case text(String)
    case bytes
    case tuple(Int)
    case list(Int)
    case dictionary(Int)
    case global(TorchGlobal)
    case storage(Int)
    case tensor(Int)
    /// Something without influence on tensors, such as a device.
    case ignored
}

/// A stretch of elements that tensors look into.
struct TorchStorage: Sendable, Hashable {
    /// The storage's name in the file.
    let key: String
    /// Element type.
    let dtype: DType
    /// Elements in the whole storage.
    let count: Int
    /// The elements that this storage shows; a part of the whole only in old files.
    let view: Range<Int>
}

/// A tensor over a storage: element (i, j, ...) is at `offset + i * strides[0] + j * strides[1] + ...`.
struct TorchTensor: Sendable, Hashable {
    let storage: TorchStorage
    /// First element, counted from the start of the whole storage.
    let offset: Int
    let shape: Shape
    let strides: [Int]

    /// Checks that every element lies in the storage; nil when one does not.
    init?(storage: TorchStorage, offset: Int, shape: Shape, strides: [Int]) {
        guard strides.count == shape.dims.count, offset >= 0,
            strides.allSatisfy({ $0 >= 0 })
        else { return nil }
        var last = offset
        if shape.count > 0 {
            for (extent, stride) in zip(shape.dims, strides) {
                let (span, overflow) = (extent - 1).multipliedReportingOverflow(by: stride)
                let (next, overflowed) = last.addingReportingOverflow(span)
                if overflow || overflowed { return nil }
                last = next
            }
            guard last < storage.view.count else { return nil }
        }
        self.storage = storage
        self.offset = storage.view.lowerBound + (shape.count > 0 ? offset : 0)
        self.shape = shape
        // A stride that is never taken may be anything, also so large that adding it would overflow.
        self.strides = zip(shape.dims, strides).map { extent, stride in extent > 1 ? stride : 0 }
    }

    /// Whether the elements lie in row-major order without gaps.
    var isContiguous: Bool {
        if shape.count == 0 { return true }
        var expected = 1
        for (extent, stride) in zip(shape.dims, strides).reversed() where extent != 1 {
            if stride != expected { return false }
            expected *= extent
        }
        return true
    }
}

/// The containers of one pickle.
struct PickleHeap: Sendable {
    /// Bytes that the values of a pickle may take, and the tables of its tensors: enough for some 40 000 tensors.
    static let room = 96 << 20

    /// Bytes that may still be taken; negative when it was too much.
    var room = PickleHeap.room
    /// Tuples, which never change.
    var tuples: [[PickleValue]] = []
    /// Lists.
    var lists: [[PickleValue]] = []
    /// Dictionaries as pairs in order.
    var dictionaries: [[(key: PickleValue, value: PickleValue)]] = []
    /// Storages that were named.
    var storages: [TorchStorage] = []
    /// Tensors that were rebuilt.
    var tensors: [TorchTensor] = []

    /// Accounts for memory.
    mutating func take(_ bytes: Int) { room -= bytes }

    /// Adds a storage.
    mutating func makeStorage(_ storage: TorchStorage) -> PickleValue {
        take(400)
        storages.append(storage)
        return .storage(storages.count - 1)
    }

    /// Adds a tensor.
    mutating func makeTensor(_ tensor: TorchTensor) -> PickleValue {
        take(320 + 32 * tensor.strides.count)
        tensors.append(tensor)
        return .tensor(tensors.count - 1)
    }

    /// The elements of a tuple or list.
    func elements(_ value: PickleValue) -> [PickleValue]? {
        switch value {
        case .tuple(let index): tuples[index]
        case .list(let index): lists[index]
        default: nil
        }
    }

    /// The elements of a tuple or list of integers.
    func integers(_ value: PickleValue) -> [Int]? {
        guard let items = elements(value) else { return nil }
        var integers: [Int] = []
        integers.reserveCapacity(items.count)
        for item in items {
            guard case .integer(let integer) = item else { return nil }
            integers.append(integer)
        }
        return integers
    }

    /// Adds a tuple.
    mutating func makeTuple(_ items: [PickleValue]) -> PickleValue {
        take(MemoryLayout<PickleValue>.stride * items.count + 64)
        tuples.append(items)
        return .tuple(tuples.count - 1)
    }

    /// Adds a list.
    mutating func makeList(_ items: [PickleValue]) -> PickleValue {
        take(MemoryLayout<PickleValue>.stride * items.count + 64)
        lists.append(items)
        return .list(lists.count - 1)
    }

    /// Adds a dictionary.
    mutating func makeDictionary() -> PickleValue {
        take(64)
        dictionaries.append([])
        return .dictionary(dictionaries.count - 1)
    }
}
