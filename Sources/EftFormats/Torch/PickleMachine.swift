// SPDX-License-Identifier: Apache-2.0
// A reader of Python pickles, protocols 2 to 5, that makes plain values and tensors and executes nothing.
//
// A pickle is a program for a stack machine: one byte for the operation, then its operands. Operations that call
// something reach only the names of `TorchGlobal`; all others are refused with the name that was asked for. What its
// values take is counted, so that no number in a file decides how much memory is taken.
import EftTensor

/// Runs one pickle of a mapped file.
struct PickleMachine {
    /// Most operations that one pickle may have; about 200 000 tensors.
    static let maximumOperations = 10_000_000
    /// Longest text or integer, in bytes.
    private static let longestText = 1 << 20

    /// Where the pickle is read; after `run()` the byte behind it.
    var reader: ByteReader
    /// Containers, storages and tensors made so far.
    var heap = PickleHeap()
    var stack: [PickleValue] = []
    private var marks: [Int] = []
    private var memo: [Int: PickleValue] = [:]
    /// Most entries that stack and marks had so far.
    private var deepest = 0

    /// Prepares to read a pickle where `reader` stands.
    /// - Parameter room: bytes that its values may take.
    init(_ reader: ByteReader, room: Int = PickleHeap.room) {
        self.reader = reader
        heap.room = room
    }

    /// Reads until the pickle's end.
    /// - Returns: the value that the pickle stands for; its containers lie in `heap`.
    /// - Throws: `FormatError` (`damaged`, or `unsupported` for an operation or a name that is refused).
    mutating func run() throws(FormatError) -> PickleValue {
        for _ in 0..<PickleMachine.maximumOperations {
            reader.releaseBehind()
            try requireRoom()
            let operation = try reader.u8()
            if operation == UInt8(ascii: ".") { return try pop() }
            // Written out because the right side of || cannot throw a typed error.
            if try pushNumber(operation) { continue }
            if try pushText(operation) { continue }
            if try changeContainer(operation) { continue }
            if try remember(operation) { continue }
            if try refer(operation) { continue }
            throw reader.error(
                .unsupported,
                "the pickle uses operation 0x\(String(operation, radix: 16)) at byte "
                    + "\(reader.position - 1), which no checkpoint needs")
        }
        throw reader.error(
            .unsupported, "the pickle has more than \(PickleMachine.maximumOperations) operations")
    }

    /// Refuses a pickle whose values take more than any checkpoint needs; each operation takes at most as much again as
    /// there is on the stack.
    private mutating func requireRoom() throws(FormatError) {
        let depth = stack.count + marks.count
        if depth > deepest {
            heap.take(2 * MemoryLayout<PickleValue>.stride * (depth - deepest))
            deepest = depth
        }
        guard heap.room >= 0 else {
            throw reader.error(
                .unsupported,
                "the pickle holds more values than the \(formatBytes(PickleHeap.room)) that are kept for it"
            )
        }
    }

    /// The size of a text or integer that follows, checked and accounted for before anything of it is read.
    private mutating func size(_ count: Int) throws(FormatError) -> Int {
        guard count <= PickleMachine.longestText, count <= reader.remaining else {
            throw damaged("a text or integer of \(count) bytes, which no checkpoint needs")
        }
        heap.take(count + 64)
        try requireRoom()
        return count
    }

    // MARK: Stack

    /// An error of the pickle at the current byte.
    func damaged(_ message: String) -> FormatError {
        reader.error(.damaged, "pickle, byte \(reader.position): \(message)")
    }

    /// Takes the top value, never one from below the last mark.
    mutating func pop() throws(FormatError) -> PickleValue {
        guard stack.count > marks.last ?? 0, let value = stack.popLast() else {
            throw damaged("the stack is empty")
        }
        return value
    }

    private mutating func popToMark() throws(FormatError) -> [PickleValue] {
        guard let mark = marks.popLast() else { throw damaged("a mark is missing") }
        defer { stack.removeSubrange(mark...) }
        return Array(stack[mark...])
    }

    private mutating func pop(_ count: Int) throws(FormatError) -> [PickleValue] {
        guard stack.count - count >= marks.last ?? 0 else { throw damaged("the stack is empty") }
        defer { stack.removeLast(count) }
        return Array(stack.suffix(count))
    }

    /// The top value without taking it.
    func top() throws(FormatError) -> PickleValue {
        guard stack.count > marks.last ?? 0, let value = stack.last else {
            throw damaged("the stack is empty")
        }
        return value
    }

    // MARK: Numbers

    private mutating func pushNumber(_ operation: UInt8) throws(FormatError) -> Bool {
        switch operation {
        case UInt8(ascii: "N"): stack.append(.none)
        case 0x88: stack.append(.bool(true))
        case 0x89: stack.append(.bool(false))
        case UInt8(ascii: "J"):
            stack.append(.integer(Int(Int32(bitPattern: try reader.u32()))))
        case UInt8(ascii: "K"): stack.append(.integer(Int(try reader.u8())))
        case UInt8(ascii: "M"): stack.append(.integer(Int(try reader.u16())))
        case 0x8A: stack.append(try long(Int(try reader.u8())))
        case 0x8B: stack.append(try long(Int(try reader.u32())))
        case UInt8(ascii: "G"):
            // The one big-endian field of the format.
            stack.append(.real(Double(bitPattern: try reader.u64().byteSwapped)))
        case UInt8(ascii: "I"):
            let line = try reader.line()
            switch line {
            case "00": stack.append(.bool(false))
            case "01": stack.append(.bool(true))
            default:
                guard let value = Int(line) else { throw damaged("'\(line)' is no integer") }
                stack.append(.integer(value))
            }
        default: return false
        }
        return true
    }

    /// A little-endian two's complement integer.
    private mutating func long(_ count: Int) throws(FormatError) -> PickleValue {
        let bytes = try reader.raw(try size(count))
        guard count <= 8 else { return .longInteger(bytes) }
        var bits: UInt64 = bytes.last.map { $0 & 0x80 != 0 } == true ? .max : 0
        for byte in bytes.reversed() { bits = bits << 8 | UInt64(byte) }
        return .integer(Int(truncatingIfNeeded: Int64(bitPattern: bits)))
    }

    // MARK: Text

    private mutating func pushText(_ operation: UInt8) throws(FormatError) -> Bool {
        switch operation {
        // Byte strings of Python 2 (T and U) are names too.
        case UInt8(ascii: "X"), UInt8(ascii: "T"): try pushText(count: Int(try reader.u32()))
        case 0x8C, UInt8(ascii: "U"): try pushText(count: Int(try reader.u8()))
        case 0x8D: try pushText(count: try reader.offset())
        case UInt8(ascii: "S"):
            let line = try reader.line()
            heap.take(line.utf8.count + 64)
            guard line.utf8.count >= 2, let quote = line.utf8.first, quote == line.utf8.last,
                quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\""), !line.contains("\\")
            else { throw damaged("a quoted string is broken, or has escapes") }
            stack.append(.text(String(line.dropFirst().dropLast())))
        case UInt8(ascii: "B"):
            try reader.skip(Int(try reader.u32()))
            stack.append(.bytes)
        case UInt8(ascii: "C"):
            try reader.skip(Int(try reader.u8()))
            stack.append(.bytes)
        case 0x8E, 0x96:
            try reader.skip(try reader.offset())
            stack.append(.bytes)
        default: return false
        }
        return true
    }

    private mutating func pushText(count: Int) throws(FormatError) {
        stack.append(.text(try reader.text(try size(count))))
    }

    // MARK: Containers

    private mutating func changeContainer(_ operation: UInt8) throws(FormatError) -> Bool {
        switch operation {
        case UInt8(ascii: "("): marks.append(stack.count)
        case UInt8(ascii: "0"):
            if marks.last == stack.count { marks.removeLast() } else { _ = try pop() }
        case UInt8(ascii: "1"): _ = try popToMark()
        case UInt8(ascii: "2"): stack.append(try top())
        case UInt8(ascii: ")"): stack.append(heap.makeTuple([]))
        case 0x85, 0x86, 0x87:
            stack.append(heap.makeTuple(try pop(Int(operation) - 0x84)))
        case UInt8(ascii: "t"): stack.append(heap.makeTuple(try popToMark()))
        case UInt8(ascii: "]"): stack.append(heap.makeList([]))
        case UInt8(ascii: "l"): stack.append(heap.makeList(try popToMark()))
        case UInt8(ascii: "a"): try append(try pop(1))
        case UInt8(ascii: "e"): try append(try popToMark())
        case UInt8(ascii: "}"): stack.append(heap.makeDictionary())
        case UInt8(ascii: "d"):
            let items = try popToMark()
            stack.append(heap.makeDictionary())
            try setItems(items)
        case UInt8(ascii: "s"): try setItems(try pop(2))
        case UInt8(ascii: "u"): try setItems(try popToMark())
        default: return false
        }
        return true
    }

    private mutating func append(_ items: [PickleValue]) throws(FormatError) {
        guard case .list(let index) = try top() else { throw damaged("appending to no list") }
        heap.take(2 * MemoryLayout<PickleValue>.stride * items.count)
        heap.lists[index].append(contentsOf: items)
    }

    private mutating func setItems(_ items: [PickleValue]) throws(FormatError) {
        guard case .dictionary(let index) = try top(), items.count % 2 == 0 else {
            throw damaged("setting items of no dictionary")
        }
        heap.take(2 * MemoryLayout<PickleValue>.stride * items.count)
        for position in stride(from: 0, to: items.count, by: 2) {
            heap.dictionaries[index].append((items[position], items[position + 1]))
        }
    }

    // MARK: Memo and framing

    private mutating func remember(_ operation: UInt8) throws(FormatError) -> Bool {
        switch operation {
        case 0x80:
            let version = try reader.u8()
            guard (2...5).contains(version) else {
                throw reader.error(.unsupported, "pickle protocol \(version) is not known")
            }
        case 0x95: _ = try reader.u64()
        case UInt8(ascii: "q"): try memorize(Int(try reader.u8()))
        case UInt8(ascii: "r"): try memorize(Int(try reader.u32()))
        case 0x94: try memorize(memo.count)
        case UInt8(ascii: "h"): try recall(Int(try reader.u8()))
        case UInt8(ascii: "j"): try recall(Int(try reader.u32()))
        default: return false
        }
        return true
    }

    private mutating func memorize(_ index: Int) throws(FormatError) {
        let value = try top()
        // A dictionary's entry, in a table that is doubled when it is three quarters full.
        if memo.updateValue(value, forKey: index) == nil { heap.take(96) }
    }

    private mutating func recall(_ index: Int) throws(FormatError) {
        guard let value = memo[index] else { throw damaged("nothing was remembered as \(index)") }
        stack.append(value)
    }
}
