// SPDX-License-Identifier: Apache-2.0
import EftFormats
import EftTensor
import Testing

struct SHA256Tests {
    @Test(arguments: [
        // FIPS 180-4's examples.
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
    ])
    func `examples have their digests`(text: String, hex: String) {
        #expect(SHA256.digest(Array(text.utf8)).hex == hex)
    }

    @Test func `a million letters have their digest`() {
        let digest = SHA256.digest([UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000))
        #expect(digest.hex == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    /// The digest of the digests, in turn, of so many times the byte of their number; by Python's hashlib.
    @Test func `every length up to three blocks is padded rightly`() {
        var all = SHA256()
        for count in 0..<200 {
            all.update(SHA256.digest([UInt8](repeating: UInt8(count), count: count)).bytes)
        }
        #expect(
            all.finish().hex == "6f979b0f53f1f6efc88ce8829b3e9c0d7711e102a3cfe31394c5d6c3232047ad")
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `it does not matter how the bytes are cut`(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let bytes = (0..<1000).map { _ in UInt8.random(in: 0...255, using: &random) }
        var sum = SHA256()
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = Int.random(in: 0...min(rest.count, 150), using: &random)
            sum.update(Array(rest.prefix(count)))
            // Looking at the digest changes nothing.
            _ = sum.finish()
            rest = rest.dropFirst(count)
        }
        #expect(sum.finish() == SHA256.digest(bytes))
    }

    @Test func `digests are compared by all their bytes`() {
        let digest = SHA256.digest([1])
        #expect(digest.isEqual(to: SHA256.digest([1])))
        #expect(!digest.isEqual(to: SHA256.digest([2])))
        #expect(digest.bytes.count == 32)
    }

    @Test func `the processor's instructions give what the steps give`() {
        let bytes = (0..<3000).map { UInt8(truncatingIfNeeded: $0 * $0 >> 3 ^ $0) }
        for count in [0, 1, 55, 56, 63, 64, 65, 127, 128, 129, 1000, 3000] {
            var (fast, plain) = (SHA256(), SHA256(usesInstructions: false))
            // Pieces that begin and end within blocks.
            for start in stride(from: 0, to: count, by: 37 + count / 3) {
                let piece = Array(bytes[start..<min(start + 37 + count / 3, count)])
                fast.update(piece)
                plain.update(piece)
            }
            #expect(fast.finish() == plain.finish(), "\(count)")
        }
    }
}
