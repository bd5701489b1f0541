// SPDX-License-Identifier: Apache-2.0
// One safetensors file, mapped; tensors are read when they are asked for.
import EftTensor

/// A mapped safetensors file.
package final class SafetensorsFile: CheckpointReader {
    private let file: MappedFile
    private let header: SafetensorsHeader
    private let positions: [String: Int]

    /// Opens a file and checks its header.
    /// - Throws: `FormatError`.
    package init(path: String) throws(FormatError) {
        file = try MappedFile(path: path)
        header = try SafetensorsHeader(of: file)
        var positions: [String: Int] = [:]
        for (index, tensor) in header.tensors.enumerated() { positions[tensor.name] = index }
        self.positions = positions
        // The header is not looked at again. Around it the system has mapped pages of the data too, of which hundreds of
        // open files would keep a lot.
        file.release(0..<file.byteCount)
    }

    package var path: String { file.path }
    package var tensors: [TensorInfo] { header.tensors }
    package var opaqueTensors: [OpaqueTensor] { header.opaque }
    package var metadata: [String: String] { header.metadata }

    package func find(_ name: String) -> TensorInfo? { positions[name].map { header.tensors[$0] } }

    private func range(of name: String) throws(FormatError) -> Range<Int> {
        if let position = positions[name] { return header.ranges[position] }
        _ = try tensor(name)
        preconditionFailure("tensor found without a position")
    }

    package func read(
        _ name: String, bytes part: Range<Int>, into target: UnsafeMutableRawBufferPointer
    ) throws(FormatError) {
        let whole = try range(of: name)
        precondition(
            part.lowerBound >= 0 && part.upperBound <= whole.count && target.count == part.count,
            "bytes \(part) of \(whole.count) into \(target.count)")
        try file.read(at: whole.lowerBound + part.lowerBound, into: target)
    }

    package func withBytes<R>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        try file.withBytes(try range(of: name), body)
    }

    package func place(of name: String) -> (path: String, bytes: Range<Int>)? {
        positions[name].map { (path, header.ranges[$0]) }
    }

    package func releasePages(of name: String) {
        if let position = positions[name] { file.release(header.ranges[position]) }
    }
}
