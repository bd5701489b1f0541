// SPDX-License-Identifier: Apache-2.0
// Elements of a strided tensor, brought into row-major order.

/// Copies elements of a strided tensor in row-major order.
///
/// The storage is read in pieces, so that a view over a large file takes no more memory than its target.
struct StridedCopy {
    /// Reads bytes of the storage from an offset on.
    typealias Read = (_ offset: Int, UnsafeMutableRawBufferPointer) throws(FormatError) -> Void

    /// Bytes that are read at a time at most.
    private static let windowBytes = 256 << 10

    private let tensor: TorchTensor
    private let width: Int
    private let read: Read
    private var window: [UInt8]

    /// Copies the elements `range` (row-major numbers) of `tensor` into `target`.
    /// - Parameter read: reads the storage that the tensor looks into.
    /// - Throws: what `read` throws.
    static func copy(
        _ tensor: TorchTensor, elements range: Range<Int>,
        into target: UnsafeMutableRawBufferPointer, _ read: Read
    ) throws(FormatError) {
        let width = tensor.storage.dtype.byteWidth
        precondition(target.count == range.count * width, "sizes differ")
        guard !range.isEmpty else { return }
        let failure = withoutActuallyEscaping(read) { read -> FormatError? in
            var copy = StridedCopy(
                tensor: tensor, width: width, read: read,
                window: [UInt8](repeating: 0, count: min(windowBytes, max(target.count, 4096))))
            do throws(FormatError) { try copy.run(range, target) } catch { return error }
            return nil
        }
        if let failure { throw failure }
    }

    private mutating func run(
        _ range: Range<Int>, _ target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        func part(_ elements: Range<Int>) -> UnsafeMutableRawBufferPointer {
            let start = (elements.lowerBound - range.lowerBound) * width
            return UnsafeMutableRawBufferPointer(
                rebasing: target[start..<start + elements.count * width])
        }
        guard tensor.shape.dims.count == 2, tensor.strides[0] == 1, tensor.strides[1] > 1 else {
            return try copyRuns(range, part(range))
        }
        // A transposed matrix: whole rows of the view are gathered from runs of the storage.
        let columns = tensor.shape.dims[1]
        let first = (range.lowerBound + columns - 1) / columns
        let end = range.upperBound / columns
        guard first < end else { return try copyRuns(range, part(range)) }
        try copyRuns(
            range.lowerBound..<first * columns, part(range.lowerBound..<first * columns))
        let step = max(1, window.count / width)
        for row in stride(from: first, to: end, by: step) {
            let rows = row..<min(row + step, end)
            try transpose(
                rows, columns, part(rows.lowerBound * columns..<rows.upperBound * columns))
        }
        try copyRuns(end * columns..<range.upperBound, part(end * columns..<range.upperBound))
    }

    private mutating func transpose(
        _ rows: Range<Int>, _ columns: Int, _ target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        for column in 0..<columns {
            let position = tensor.offset + rows.lowerBound + column * tensor.strides[1]
            try fill(position, count: rows.count)
            scatter(count: rows.count, step: 1, target, first: column, step: columns)
        }
    }

    /// Copies elements run by run of the innermost axis.
    private mutating func copyRuns(
        _ range: Range<Int>, _ target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
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
            try copyRun(
                first: position, step: step,
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

    private mutating func copyRun(
        first: Int, step: Int, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        if step == 1 { return try read(first * width, target) }
        let count = target.count / width
        // Elements that one window spans; all of them are one element when the step is 0.
        let most = step == 0 ? count : max(1, (window.count / width - 1) / step + 1)
        for start in stride(from: 0, to: count, by: most) {
            let part = min(most, count - start)
            try fill(first + start * step, count: (part - 1) * step + 1)
            scatter(count: part, step: step, target, first: start, step: 1)
        }
    }

    /// Reads elements of the storage into the window.
    private mutating func fill(_ position: Int, count: Int) throws(FormatError) {
        let (offset, size, read) = (position * width, count * width, self.read)
        try window.withMutableRawBytes { (window) throws(FormatError) in
            try read(offset, UnsafeMutableRawBufferPointer(rebasing: window[..<size]))
        }
    }

    /// Copies elements of the window to places of the target, both in steps of elements.
    private func scatter(
        count: Int, step: Int, _ target: UnsafeMutableRawBufferPointer, first: Int,
        step targetStep: Int
    ) {
        switch width {
        case 1: scatter(UInt8.self, count, step, target, first, targetStep)
        case 2: scatter(UInt16.self, count, step, target, first, targetStep)
        case 4: scatter(UInt32.self, count, step, target, first, targetStep)
        default: scatter(UInt64.self, count, step, target, first, targetStep)
        }
    }

    private func scatter<T: FixedWidthInteger>(
        _ type: T.Type, _ count: Int, _ step: Int, _ target: UnsafeMutableRawBufferPointer,
        _ first: Int, _ targetStep: Int
    ) {
        let width = MemoryLayout<T>.size
        window.withRawBytes { window in
            for i in 0..<count {
                let value = window.loadUnaligned(fromByteOffset: i * step * width, as: T.self)
                target.storeBytes(
                    of: value, toByteOffset: (first + i * targetStep) * width, as: T.self)
            }
        }
    }
}
