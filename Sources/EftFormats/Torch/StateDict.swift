// SPDX-License-Identifier: Apache-2.0
// Tensors of a pickled state dict by name.
import EftTensor

/// Flattens nested dictionaries into tensors with dotted names.
struct StateDict {
    private let heap: PickleHeap
    private let path: String
    private(set) var tensors: [(name: String, tensor: TorchTensor)] = []
    private var visits = 0
    /// Bytes that names and tables may still take.
    private var room: Int

    /// Deepest nesting and most values that are looked at; shared parts make a small pickle endlessly large.
    private static let maximumDepth = 16
    private static let maximumVisits = 2_000_000
    /// Longest name of a tensor, in bytes.
    private static let longestName = 1024
    /// Bytes of all that is kept of a tensor, besides its name.
    private static let tensorBytes = 640

    /// Collects the tensors below `root`; values that hold none are passed over.
    ///
    /// A dictionary that only wraps a state dict under `state_dict`, `model` or `module` is unwrapped.
    /// - Throws: `FormatError` (`unsupported` when there is no dictionary, `damaged` for a name given twice).
    init(_ root: PickleValue, heap: PickleHeap, path: String) throws(FormatError) {
        self.heap = heap
        self.path = path
        room = heap.room
        guard case .dictionary(var index) = root else {
            throw FormatError(
                .unsupported, "the file holds no state dict (a dictionary of tensors)", path: path)
        }
        for _ in 0..<StateDict.maximumDepth {
            guard let inner = wrapped(index) else { break }
            index = inner
        }
        try collect(.dictionary(index), name: "", depth: 0)
        var names: Set<String> = []
        for (name, _) in tensors where !names.insert(name).inserted {
            throw FormatError(.damaged, "the name stands for two tensors", path: path, tensor: name)
        }
    }

    private func wrapped(_ index: Int) -> Int? {
        let entries = heap.dictionaries[index]
        let hasTensors = entries.contains { if case .tensor = $0.value { true } else { false } }
        if hasTensors { return nil }
        for wrapper in ["state_dict", "model", "module"] {
            for (key, value) in entries {
                guard case .text(wrapper) = key, case .dictionary(let inner) = value else {
                    continue
                }
                return inner
            }
        }
        return nil
    }

    private mutating func collect(
        _ value: PickleValue, name: String, depth: Int
    ) throws(FormatError) {
        visits += 1
        guard depth <= StateDict.maximumDepth, visits <= StateDict.maximumVisits else {
            throw FormatError(.damaged, "values are nested too deep or too often", path: path)
        }
        guard name.utf8.count <= StateDict.longestName else {
            throw FormatError(
                .damaged, "a tensor's name has \(name.utf8.count) bytes, too many", path: path)
        }
        let prefix = name.isEmpty ? "" : name + "."
        switch value {
        case .tensor(let index):
            room -= StateDict.tensorBytes + name.utf8.count
            guard room >= 0 else {
                throw FormatError(
                    .unsupported,
                    "the state dict has more tensors than the \(formatBytes(PickleHeap.room)) that are kept "
                        + "for them", path: path)
            }
            tensors.append((name, heap.tensors[index]))
        case .dictionary(let index):
            for (key, value) in heap.dictionaries[index] {
                switch key {
                case .text(let text): try collect(value, name: prefix + text, depth: depth + 1)
                case .integer(let number):
                    try collect(value, name: "\(prefix)\(number)", depth: depth + 1)
                default: continue
                }
            }
        case .tuple, .list:
            for (number, value) in (heap.elements(value) ?? []).enumerated() {
                try collect(value, name: "\(prefix)\(number)", depth: depth + 1)
            }
        default: break
        }
    }
}
