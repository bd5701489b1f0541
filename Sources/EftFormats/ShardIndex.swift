// SPDX-License-Identifier: Apache-2.0
// Names and index files of checkpoints that lie in several files.
import EftConfig

/// The name of a shard without its extension: `model-00001-of-00003`.
package struct ShardName: Sendable, Hashable {
    /// What stands before the numbers.
    package let stem: String
    /// Which shard, counted from 1.
    package let index: Int
    /// How many there are.
    package let count: Int

    /// Makes a name.
    package init(stem: String, index: Int, count: Int) {
        self.stem = stem
        self.index = index
        self.count = count
    }

    /// Reads a name; nil when it is not a shard's.
    package init?(_ text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count >= 4, parts[parts.count - 2] == "of",
            let index = ShardName.number(parts[parts.count - 3]),
            let count = ShardName.number(parts[parts.count - 1])
        else { return nil }
        self.init(stem: parts.dropLast(3).joined(separator: "-"), index: index, count: count)
    }

    private static func number(_ text: Substring) -> Int? {
        guard text.utf8.count >= 5, text.utf8.allSatisfy({ $0 &- UInt8(ascii: "0") < 10 }) else {
            return nil
        }
        return Int(text)
    }

    private static func padded(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }

    /// The name as files bear it.
    var text: String { "\(stem)-\(ShardName.padded(index))-of-\(ShardName.padded(count))" }
}

/// Which file holds which tensor, as `model.safetensors.index.json` says it.
package struct ShardIndex: Sendable {
    /// The index file.
    package let path: String
    /// File names in order of first mention.
    package private(set) var files: [String] = []
    /// Tensor names with their file, in the order of the index.
    private(set) var entries: [(tensor: String, file: String)] = []

    /// Reads an index.
    /// - Throws: `FormatError` (`damaged` when it is no index or names a file outside of its folder).
    package init(path: String) throws(FormatError) {
        self.path = path
        let bytes = try FileSystem.read(path)
        let map: ConfigObject
        do {
            map = try ConfigCursor(JSONParser.parse(bytes, file: path), file: path)
                .required("weight_map").object()
        } catch {
            throw FormatError(.damaged, "index: \(error.message)", path: path)
        }
        var known: Set<String> = []
        for (tensor, node) in map.entries {
            guard case .string(let file) = node.value, !file.isEmpty, !file.contains("/"),
                file != ".."
            else {
                throw FormatError(
                    .damaged, "the index gives no plain file name", path: path, tensor: tensor)
            }
            entries.append((tensor, file))
            if known.insert(file).inserted { files.append(file) }
        }
    }
}
