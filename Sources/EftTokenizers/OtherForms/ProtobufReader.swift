// SPDX-License-Identifier: Apache-2.0
// The fields of a message in the wire format of protocol buffers.

/// Steps through the fields of a message.
struct ProtobufReader {
    /// What a field holds.
    enum Value {
        case integer(UInt64)
        case fixed(UInt32)
        case bytes(ArraySlice<UInt8>)
        /// A number of 64 bits, which nothing here has.
        case wide
    }

    private var rest: ArraySlice<UInt8>
    private let file: String?

    /// Begins at the first field.
    init(_ message: ArraySlice<UInt8>, file: String?) {
        rest = message
        self.file = file
    }

    /// The next field; nil behind the last.
    /// - Throws: `TokenizerError` (`malformed`).
    mutating func next() throws(TokenizerError) -> (number: Int, value: Value)? {
        if rest.isEmpty { return nil }
        let key = try varint()
        guard let number = Int(exactly: key >> 3), number > 0, number < 1 << 29 else {
            throw fault("a field has the number \(key >> 3)")
        }
        switch key & 7 {
        case 0: return (number, .integer(try varint()))
        case 1:
            _ = try take(8, number)
            return (number, .wide)
        case 2:
            let claimed = try varint()
            guard let count = Int(exactly: claimed), count <= rest.count else {
                throw fault(
                    "field \(number) claims \(claimed) bytes where \(rest.count) are left")
            }
            return (number, .bytes(try take(count, number)))
        case 5:
            let bytes = try take(4, number)
            let bits = bytes.reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            return (number, .fixed(bits))
        case let type: throw fault("field \(number) is of the unknown type \(type)")
        }
    }

    private mutating func take(
        _ count: Int, _ number: Int
    ) throws(TokenizerError) -> ArraySlice<UInt8> {
        guard count <= rest.count else { throw fault("the file ends within field \(number)") }
        let bytes = rest.prefix(count)
        rest = rest.dropFirst(count)
        return bytes
    }

    private mutating func varint() throws(TokenizerError) -> UInt64 {
        var value: UInt64 = 0
        for place in 0..<10 {
            guard let byte = rest.popFirst() else { throw fault("the file ends within a number") }
            // The tenth byte holds the last bit.
            guard place < 9 || byte < 2 else { break }
            value |= UInt64(byte & 0x7F) << UInt64(7 * place)
            if byte < 0x80 { return value }
        }
        throw fault("a number is longer than 64 bits")
    }

    private func fault(_ what: String) -> TokenizerError {
        TokenizerError(.malformed, "this is no message of SentencePiece: \(what)", file: file)
    }
}
