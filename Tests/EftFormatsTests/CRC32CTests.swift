// SPDX-License-Identifier: Apache-2.0
// CRC-32C against the vectors of RFC 3720.
import EftFormats
import Testing

@Suite struct CRC32CTests {
    @Test(
        arguments: [
            (Array("123456789".utf8), 0xE306_9283), ([], 0),
            ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
            ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
            ([UInt8](0..<32), 0x46DD_794E), ([UInt8]((0..<32).reversed()), 0x113F_DB5C),
        ] as [([UInt8], UInt32)])
    func `known checksums`(_ bytes: [UInt8], _ sum: UInt32) {
        #expect(CRC32C.checksum(bytes) == sum)
    }
}
