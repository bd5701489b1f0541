// SPDX-License-Identifier: Apache-2.0
// The only names that a pickle may refer to, and what calling them means here.
import EftTensor

/// A Python name that may stand in a checkpoint; everything else is refused.
enum TorchGlobal: Sendable, Hashable {
    case rebuildTensor
    case rebuildTensorV2
    case rebuildParameter
    case rebuildParameterWithState
    case orderedDictionary
    case size
    case device
    /// Bytes in protocol 2 are a call of `_codecs.encode` on text; no tensor needs them, so nothing is encoded.
    case encode
    case storage(DType)

    private static let known: [String: TorchGlobal] = [
        "torch._utils._rebuild_tensor": .rebuildTensor,
        "torch._utils._rebuild_tensor_v2": .rebuildTensorV2,
        "torch._utils._rebuild_parameter": .rebuildParameter,
        "torch._utils._rebuild_parameter_with_state": .rebuildParameterWithState,
        "collections.OrderedDict": .orderedDictionary,
        "torch.Size": .size,
        "torch.device": .device,
        "_codecs.encode": .encode,
        "torch.DoubleStorage": .storage(.f64),
        "torch.FloatStorage": .storage(.f32),
        "torch.HalfStorage": .storage(.f16),
        "torch.BFloat16Storage": .storage(.bf16),
        "torch.LongStorage": .storage(.i64),
        "torch.IntStorage": .storage(.i32),
        "torch.ShortStorage": .storage(.i16),
        "torch.CharStorage": .storage(.i8),
        "torch.ByteStorage": .storage(.u8),
        "torch.BoolStorage": .storage(.bool),
        "torch.UntypedStorage": .storage(.u8),
        "torch.storage.UntypedStorage": .storage(.u8),
        "torch.storage._UntypedStorage": .storage(.u8),
    ]

    /// The name as Python writes it, or nil when it may not stand in a checkpoint.
    init?(module: String, name: String) {
        // The joined name alone would let "torch" + "_utils._rebuild_tensor" through.
        guard !name.contains("."), let known = TorchGlobal.known["\(module).\(name)"] else {
            return nil
        }
        self = known
    }

    /// What a call with `arguments` makes, or nil when the arguments do not fit.
    func call(_ arguments: [PickleValue], _ heap: inout PickleHeap) -> PickleValue? {
        switch self {
        case .rebuildTensor:
            return arguments.count == 4 ? TorchGlobal.rebuild(arguments, &heap) : nil
        case .rebuildTensorV2:
            guard arguments.count == 6 || arguments.count == 7 else { return nil }
            // The seventh argument says that the tensor is shown negated or conjugated.
            if arguments.count == 7, case .dictionary(let index) = arguments[6],
                !heap.dictionaries[index].isEmpty
            {
                return nil
            }
            return TorchGlobal.rebuild(arguments, &heap)
        case .rebuildParameter, .rebuildParameterWithState:
            let count = self == .rebuildParameter ? 3 : 4
            guard arguments.count == count, case .tensor = arguments[0] else { return nil }
            return arguments[0]
        case .orderedDictionary:
            return TorchGlobal.orderedDictionary(arguments, &heap)
        case .size:
            guard arguments.count == 1, let items = heap.elements(arguments[0]) else { return nil }
            return heap.makeTuple(items)
        case .device:
            return .ignored
        case .encode:
            return .bytes
        case .storage:
            return nil
        }
    }

    private static func rebuild(
        _ arguments: [PickleValue], _ heap: inout PickleHeap
    ) -> PickleValue? {
        guard case .storage(let index) = arguments[0], case .integer(let offset) = arguments[1],
            let dims = heap.integers(arguments[2]), let strides = heap.integers(arguments[3]),
            let shape = try? Shape(checking: dims),
            let tensor = TorchTensor(
                storage: heap.storages[index], offset: offset, shape: shape, strides: strides)
        else { return nil }
        return heap.makeTensor(tensor)
    }

    private static func orderedDictionary(
        _ arguments: [PickleValue], _ heap: inout PickleHeap
    ) -> PickleValue? {
        let made = heap.makeDictionary()
        guard let first = arguments.first else { return made }
        // Python 2 gives the pairs as one list.
        guard arguments.count == 1, case .dictionary(let index) = made,
            let pairs = heap.elements(first)
        else { return nil }
        for pair in pairs {
            guard let items = heap.elements(pair), items.count == 2 else { return nil }
            heap.take(4 * MemoryLayout<PickleValue>.stride)
            heap.dictionaries[index].append((items[0], items[1]))
        }
        return made
    }
}
