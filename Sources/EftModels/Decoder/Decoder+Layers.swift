// SPDX-License-Identifier: Apache-2.0
// How passes come by layers, whether those stand in memory or are streamed.
import EftNN
import EftTensor

extension Decoder {
    /// Says in which order a pass will use layers.
    func begin(_ walk: LayerWalk) {
        for stream in streams { stream?.begin(walk) }
    }

    /// What streaming came to so far, of all devices; nil when nothing is streamed.
    package var streamStatistics: StreamStatistics? {
        let all = streams.compactMap { $0?.statistics } + expertStreams.map(\.statistics)
        return all.isEmpty ? nil : all.reduce(StreamStatistics(), +)
    }

    /// Gives `body` each layer in order, ready to compute, and its device.
    /// - Throws: `FormatError` when a streamed layer could not be read, and what `body` throws.
    package func forEachLayer(_ body: (DecoderLayer, any Backend) throws -> Void) throws {
        begin(.forward)
        for index in layers.indices {
            try withLayer(index) { try body($0, devices[device(ofLayer: index)]) }
        }
    }

    /// Gives `body` a layer that is ready to compute.
    /// - Throws: `FormatError` when a streamed layer could not be read, and what `body` throws.
    func withLayer(_ index: Int, _ body: (DecoderLayer) throws -> Void) throws {
        guard let stream = streams.lazy.compactMap({ $0 }).first(where: { $0.isStreamed(index) })
        else { return try body(layers[index]) }
        try stream.acquire(index)
        defer { stream.release(index) }
        try body(layers[index])
    }
}
