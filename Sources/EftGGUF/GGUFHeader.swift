// SPDX-License-Identifier: Apache-2.0
// The header of one GGUF file: metadata, and where the tensors lie.

/// A tensor of a GGUF file.
package struct GGUFTensor: Sendable, Hashable {
    /// The tensor's name.
    package let name: String
    /// How its numbers are stored.
    package let type: GGUFTensorType
    /// Extents, outermost first; one to four, none of them zero.
    package let dims: [Int]
    /// Where its bytes lie in the file.
    package let bytes: Range<Int>

    /// Numbers that lie next to each other: the innermost extent.
    package var columns: Int { dims[dims.count - 1] }
    /// Bytes of such a row.
    package var rowBytes: Int { columns / type.blockSize * type.blockBytes }
    /// Rows in all.
    package var rows: Int { dims.dropLast().reduce(1, *) }
}

/// The header of a GGUF file, checked: every tensor lies in the file, and none in another.
package struct GGUFHeader: Sendable {
    /// The file.
    package let path: String
    /// 2 or 3.
    package let version: Int
    /// All of the metadata, by key.
    package let metadata: [String: GGUFValue]
    /// All tensors, in the order of the file.
    package let tensors: [GGUFTensor]
    let input: GGUFInput

    /// The four bytes that a file begins with.
    static let magic = Array("GGUF".utf8)
    private static let defaultAlignment = 32
    private static let largestAlignment = 1 << 20
    private static let keyLimit = 1 << 16
    private static let nameLimit = 1 << 10
    /// The fewest bytes of an entry of the metadata: a key's length, a type, a value.
    private static let entryBytes = 8 + 4 + 1
    /// The fewest bytes of a tensor's entry: a name's length, a number of extents, an extent, a type, an offset.
    private static let tensorBytes = 8 + 4 + 8 + 4 + 8

    /// Reads and checks a header.
    /// - Throws: `GGUFError`.
    package init(path: String) throws(GGUFError) {
        let input = try GGUFInput(path: path)
        var scanner = GGUFScanner(input, 0..<input.byteCount)
        version = try Self.readVersion(&scanner)
        let tensorCount = try scanner.nextCount("a tensor table", width: Self.tensorBytes)
        let entryCount = try scanner.nextCount("metadata", width: Self.entryBytes)
        metadata = try Self.readMetadata(&scanner, count: entryCount)
        let alignment = try Self.alignment(metadata, path)
        var entries: [Entry] = []
        for _ in 0..<tensorCount { entries.append(try Self.readTensor(&scanner)) }
        let (start, overflow) = scanner.position.addingReportingOverflow(alignment - 1)
        guard !overflow else { throw scanner.error("the header has no end") }
        tensors = try Self.place(
            entries, from: start / alignment * alignment, alignment: alignment, in: input)
        self.path = path
        self.input = input
    }

    /// Whether a file begins as GGUF files do.
    package static func isOne(_ path: String) -> Bool {
        guard let input = try? GGUFInput(path: path), input.byteCount >= 4 else { return false }
        var head: UInt32 = 0
        let isRead: Void? = withUnsafeMutableBytes(of: &head) { try? input.read(at: 0, into: $0) }
        return isRead != nil && withUnsafeBytes(of: head) { $0.elementsEqual(magic) }
    }

    private static func readVersion(_ scanner: inout GGUFScanner) throws(GGUFError) -> Int {
        let path = scanner.input.path
        guard scanner.remaining >= 8 else {
            throw GGUFError(.damaged, "the file is too short for GGUF", path: path)
        }
        let magic = try scanner.next(UInt32.self)
        guard withUnsafeBytes(of: magic.littleEndian, { $0.elementsEqual(Self.magic) }) else {
            throw GGUFError(.damaged, "the file does not begin as GGUF files do", path: path)
        }
        let version = try scanner.next(UInt32.self)
        switch version {
        case 2, 3: return Int(version)
        case 1:
            throw GGUFError(
                .unsupported, "version 1 of GGUF is not read; convert the model again", path: path)
        default:
            let isSwapped = version.byteSwapped <= 16
            throw GGUFError(
                .unsupported,
                isSwapped
                    ? "the file is for big-endian machines; take the one for little-endian ones"
                    : "version \(version) of GGUF is not read, only 2 and 3", path: path)
        }
    }

    private static func readMetadata(
        _ scanner: inout GGUFScanner, count: Int
    ) throws(GGUFError) -> [String: GGUFValue] {
        var metadata: [String: GGUFValue] = [:]
        for _ in 0..<count {
            let key = try scanner.nextText(limit: keyLimit)
            let type = try scanner.nextType()
            let value = try scanner.nextValue(type)
            guard metadata.updateValue(value, forKey: key) == nil else {
                throw scanner.error("the key '\(key.prefix(100))' stands there twice")
            }
        }
        return metadata
    }

    private static func alignment(
        _ metadata: [String: GGUFValue], _ path: String
    ) throws(GGUFError) -> Int {
        guard let value = metadata["general.alignment"] else { return defaultAlignment }
        guard case .integer(let alignment) = value, alignment > 0,
            alignment & (alignment - 1) == 0, alignment <= largestAlignment
        else {
            throw GGUFError(
                .damaged, "general.alignment must be a power of two up to \(largestAlignment)",
                path: path)
        }
        return alignment
    }

    // MARK: Tensors

    /// A tensor before it has a place.
    private struct Entry {
        var name: String
        var type: GGUFTensorType
        var dims: [Int]
        var byteCount: Int
        var offset: UInt64
    }

    private static func readTensor(_ scanner: inout GGUFScanner) throws(GGUFError) -> Entry {
        let path = scanner.input.path
        let name = try scanner.nextText(limit: nameLimit)
        func fault(_ code: GGUFErrorCode, _ message: String) -> GGUFError {
            GGUFError(code, message, path: path, tensor: String(name.prefix(100)))
        }
        let rank = try scanner.next(UInt32.self)
        guard (1...4).contains(rank) else {
            throw fault(.damaged, "has \(rank) extents where one to four are possible")
        }
        var (dims, count): ([Int], Int) = ([], 1)
        for _ in 0..<rank {
            let extent = try scanner.next(UInt64.self)
            guard let dim = Int(exactly: extent), dim > 0 else {
                throw fault(.damaged, "has an extent of \(extent)")
            }
            let (product, overflow) = count.multipliedReportingOverflow(by: dim)
            guard !overflow else {
                throw fault(.damaged, "has more numbers than 64 bits can count")
            }
            count = product
            dims.append(dim)
        }
        let number = try scanner.next(UInt32.self)
        guard let type = GGUFTensorType(rawValue: number) else {
            let known = GGUFTensorType.removed[number]
            throw fault(
                .unsupported,
                known.map { "is stored as \($0), which is no longer in use" }
                    ?? "is stored as type \(number), which is not known")
        }
        guard dims[0] % type.blockSize == 0 else {
            throw fault(
                .damaged,
                "has rows of \(dims[0]) numbers, no multiple of the \(type.blockSize) in a block "
                    + "of \(type.name)")
        }
        let (bytes, overflow) = (count / type.blockSize).multipliedReportingOverflow(
            by: type.blockBytes)
        guard !overflow else { throw fault(.damaged, "has more bytes than 64 bits can count") }
        return Entry(
            name: name, type: type, dims: dims.reversed(), byteCount: bytes,
            offset: try scanner.next(UInt64.self))
    }

    /// Finds the tensors in the file.
    private static func place(
        _ entries: [Entry], from start: Int, alignment: Int, in input: GGUFInput
    ) throws(GGUFError) -> [GGUFTensor] {
        var tensors: [GGUFTensor] = []
        var names: Set<String> = []
        for entry in entries {
            func fault(_ message: String) -> GGUFError {
                GGUFError(
                    .damaged, message, path: input.path, tensor: String(entry.name.prefix(100)))
            }
            guard names.insert(entry.name).inserted else { throw fault("stands there twice") }
            guard entry.offset % UInt64(alignment) == 0 else {
                throw fault("begins at \(entry.offset), no multiple of \(alignment)")
            }
            guard let offset = Int(exactly: entry.offset), start <= input.byteCount,
                offset <= input.byteCount - start,
                entry.byteCount <= input.byteCount - start - offset
            else {
                throw fault(
                    "ends behind the file's end; the file is cut off, fetch it again")
            }
            let first = start + offset
            tensors.append(
                GGUFTensor(
                    name: entry.name, type: entry.type, dims: entry.dims,
                    bytes: first..<first + entry.byteCount))
        }
        let ordered = tensors.sorted { $0.bytes.lowerBound < $1.bytes.lowerBound }
        for (one, next) in zip(ordered, ordered.dropFirst())
        where one.bytes.upperBound > next.bytes.lowerBound {
            throw GGUFError(
                .damaged, "lies where \(one.name.prefix(100)) does", path: input.path,
                tensor: String(next.name.prefix(100)))
        }
        return tensors
    }
}
