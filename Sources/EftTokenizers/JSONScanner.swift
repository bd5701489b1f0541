// SPDX-License-Identifier: Apache-2.0
// Finds and reads the two large parts of tokenizer.json, the vocabulary and the merges, without a tree of nodes.

import EftConfig

/// Walks over JSON bytes, reading strings and integers and skipping the rest.
///
/// Only the vocabulary and the merges are read through this; the remaining document goes to the strict parser.
struct JSONScanner {
    private let bytes: UnsafeBufferPointer<UInt8>
    private let end: Int
    private let file: String?
    /// Where the next byte is read.
    private(set) var position: Int

    /// Makes a scanner of a part of a document.
    init(_ bytes: UnsafeBufferPointer<UInt8>, range: Range<Int>, file: String?) {
        self.bytes = bytes
        self.file = file
        position = range.lowerBound
        end = range.upperBound
    }

    /// The next byte that is not white space.
    mutating func peek() -> UInt8? {
        while position < end {
            switch bytes[position] {
            case 0x20, 0x0A, 0x0D, 0x09: position &+= 1
            default: return bytes[position]
            }
        }
        return nil
    }

    /// Steps over `byte` when it comes next.
    mutating func take(_ byte: UInt8) -> Bool {
        guard peek() == byte else { return false }
        position &+= 1
        return true
    }

    /// Reads a string into `text`, replacing what was there.
    /// - Throws: `TokenizerError` (`malformed`) when there is no string or it is faulty.
    mutating func string(into text: inout [UInt8], keyPath: @autoclosure () -> String)
        throws(TokenizerError)
    {
        text.removeAll(keepingCapacity: true)
        guard take(UInt8(ascii: "\"")) else { throw error("expected a string", keyPath()) }
        var start = position
        while position < end {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\"") {
                text.append(contentsOf: bytes[start..<position])
                position &+= 1
                return
            }
            if byte < 0x20 { throw error("a control character inside a string", keyPath()) }
            position &+= 1
            if byte == UInt8(ascii: "\\") {
                text.append(contentsOf: bytes[start..<(position &- 1)])
                try escape(into: &text, keyPath)
                start = position
            }
        }
        throw error("the document ends inside a string", keyPath())
    }

    /// Reads an integer.
    /// - Throws: `TokenizerError` (`malformed`) when there is none.
    mutating func integer(keyPath: @autoclosure () -> String) throws(TokenizerError) -> Int {
        let text = numeral()
        guard let value = Int(text), !text.hasPrefix("+") else {
            throw error("expected an integer, found '\(text)'", keyPath())
        }
        return value
    }

    /// Reads a number.
    /// - Throws: `TokenizerError` (`malformed`) when there is none or it is too large.
    mutating func number(keyPath: @autoclosure () -> String) throws(TokenizerError) -> Double {
        let text = numeral()
        guard let value = Double(text), value.isFinite, let last = text.utf8.last,
            last != UInt8(ascii: "."), !text.hasPrefix("+"), !text.hasPrefix(".")
        else { throw error("expected a finite number, found '\(excerpt(text))'", keyPath()) }
        return value
    }

    /// Steps over the characters that numbers have.
    private mutating func numeral() -> String {
        _ = peek()
        let start = position
        while position < end {
            switch bytes[position] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "+"),
                UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"):
                position &+= 1
                continue
            default: break
            }
            break
        }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    /// Steps over any value; faults are left to the strict parser.
    /// - Returns: false when the document ends within the value.
    mutating func skipValue() -> Bool {
        var depth = 0
        while let byte = peek() {
            switch byte {
            case UInt8(ascii: "\""):
                if !skipString() { return false }
                if depth == 0 { return true }
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth &+= 1
                position &+= 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 { return true }
                depth &-= 1
                position &+= 1
                if depth == 0 { return true }
            case UInt8(ascii: ","), UInt8(ascii: ":"):
                if depth == 0 { return true }
                position &+= 1
            default:
                position &+= 1
                skipWord()
                if depth == 0 { return true }
            }
        }
        return false
    }

    /// An error with the line of the current position.
    func error(
        _ message: String, _ keyPath: @autoclosure () -> String,
        code: TokenizerError.Code = .malformed
    ) -> TokenizerError {
        var line = 1
        for index in 0..<min(position, bytes.count) where bytes[index] == 0x0A { line &+= 1 }
        return TokenizerError(code, message, file: file, keyPath: keyPath(), line: line)
    }

    private mutating func skipString() -> Bool {
        position &+= 1
        while position < end {
            let byte = bytes[position]
            position &+= byte == UInt8(ascii: "\\") ? 2 : 1
            if byte == UInt8(ascii: "\"") { return true }
        }
        position = min(position, end)
        return false
    }

    private mutating func skipWord() {
        while position < end {
            switch bytes[position] {
            case UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"), 0x20, 0x0A, 0x0D, 0x09:
                return
            default: position &+= 1
            }
        }
    }

    private mutating func escape(
        into text: inout [UInt8], _ keyPath: () -> String
    ) throws(TokenizerError) {
        guard position < end else { throw error("the document ends inside a string", keyPath()) }
        let byte = bytes[position]
        position &+= 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(8)
        case UInt8(ascii: "f"): text.append(12)
        case UInt8(ascii: "n"): text.append(10)
        case UInt8(ascii: "r"): text.append(13)
        case UInt8(ascii: "t"): text.append(9)
        case UInt8(ascii: "u"):
            var code = try hexadecimal(keyPath)
            if code & 0xFC00 == 0xD800, position &+ 1 < end,
                bytes[position] == UInt8(ascii: "\\"), bytes[position &+ 1] == UInt8(ascii: "u")
            {
                position &+= 2
                let second = try hexadecimal(keyPath)
                guard second & 0xFC00 == 0xDC00 else {
                    throw error("a lone surrogate in a string", keyPath())
                }
                code = 0x10000 + ((code & 0x3FF) << 10) + (second & 0x3FF)
            }
            guard let scalar = Unicode.Scalar(code) else {
                throw error("a lone surrogate in a string", keyPath())
            }
            text.append(contentsOf: UTF8.encode(scalar) ?? .init())
        default: throw error("an unknown escape in a string", keyPath())
        }
    }

    private mutating func hexadecimal(_ keyPath: () -> String) throws(TokenizerError)
        -> UInt32
    {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard position < end,
                let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue
            else { throw error("expected four hexadecimal digits after \\u", keyPath()) }
            code = code << 4 | UInt32(digit)
            position &+= 1
        }
        return code
    }
}
