// SPDX-License-Identifier: Apache-2.0
// Elements of a strided tensor, brought into row-major order.

/// Copies elements of a strided tensor in row-major order.
enum StridedCopy {
    /// Copies the elements `range` (row-major numbers) of `tensor` into `target`.
    /// - Parameter storage: the whole storage that the tensor looks into.
    static func copy(
        _ tensor: TorchTensor, elements range: Range<Int>, from storage: UnsafeRawBufferPointer,
        into target: UnsafeMutableRawBufferPointer
    ) {
        let width = tensor.storage.dtype.byteWidth
        precondition(target.count == range.count * width, "sizes differ")
        guard !range.isEmpty else { return }
        let dims = tensor.shape.dims
        var index = [Int](repeating: 0, count: dims.count)
        var rest = range.lowerBound
        var position = tensor.offset
        for axis in dims.indices.reversed() {
            index[axis] = rest % dims[axis]
            rest /= dims[axis]
            position += index[axis] * tensor.strides[axis]
        }
        let inner = dims.count - 1
        let step = inner >= 0 ? tensor.strides[inner] : 1
        var done = 0
        while done < range.count {
            let left = inner >= 0 ? dims[inner] - index[inner] : 1
            let run = min(left, range.count - done)
            copyRun(
                storage, first: position, step: step, width: width,
                into: UnsafeMutableRawBufferPointer(
                    rebasing: target[done * width..<(done + run) * width]))
            done += run
            guard inner >= 0, done < range.count else { return }
            // The run reached the end of the innermost axis: carry into the axes before it.
            position -= index[inner] * step
            index[inner] = 0
            var axis = inner - 1
            while axis >= 0 {
                index[axis] += 1
                position += tensor.strides[axis]
                if index[axis] < dims[axis] { break }
                position -= dims[axis] * tensor.strides[axis]
                index[axis] = 0
                axis -= 1
            }
        }
    }

    private static func copyRun(
        _ storage: UnsafeRawBufferPointer, first: Int, step: Int, width: Int,
        into target: UnsafeMutableRawBufferPointer
    ) {
        let count = target.count / width
        if step == 1 {
            let bytes = storage[first * width..<(first + count) * width]
            target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes))
            return
        }
        switch width {
        case 1: gather(UInt8.self, storage, first, step, count, target)
        case 2: gather(UInt16.self, storage, first, step, count, target)
        case 4: gather(UInt32.self, storage, first, step, count, target)
        default: gather(UInt64.self, storage, first, step, count, target)
        }
    }

    private static func gather<T: FixedWidthInteger>(
        _ type: T.Type, _ storage: UnsafeRawBufferPointer, _ first: Int, _ step: Int, _ count: Int,
        _ target: UnsafeMutableRawBufferPointer
    ) {
        let width = MemoryLayout<T>.size
        for i in 0..<count {
            let value = storage.loadUnaligned(
                fromByteOffset: (first + i * step) * width, as: T.self)
            target.storeBytes(of: value, toByteOffset: i * width, as: T.self)
        }
    }
}
