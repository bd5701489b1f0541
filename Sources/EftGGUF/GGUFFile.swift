// SPDX-License-Identifier: Apache-2.0
// A GGUF model: one file, or the parts into which it was split.

/// A GGUF model in one file or several.
package struct GGUFFile: Sendable {
    /// The file, the first one of several.
    package let path: String
    /// The headers of all files, in order.
    package let parts: [GGUFHeader]

    /// All of the metadata, by key.
    package var metadata: [String: GGUFValue] { parts[0].metadata }
    /// All tensors with the number of their file.
    package var tensors: [(part: Int, tensor: GGUFTensor)] {
        parts.enumerated().flatMap { index, header in header.tensors.map { (index, $0) } }
    }

    private static let mostParts = 1 << 12

    /// Opens a model by its file, or by any of its files.
    /// - Throws: `GGUFError`.
    package init(path: String) throws(GGUFError) {
        let header = try GGUFHeader(path: path)
        guard let count = header.metadata["split.count"]?.whole, count > 1 else {
            self.path = path
            parts = [header]
            return
        }
        guard count <= Self.mostParts else {
            throw GGUFError(.damaged, "split.count says \(count) files", path: path)
        }
        guard let name = SplitName(path), name.count == count else {
            throw GGUFError(
                .missing,
                "the model was split into \(count) files, and this one's name does not say which it is; "
                    + "they must be called NAME-00001-of-\(SplitName.padded(count)).gguf and so on",
                path: path)
        }
        var parts: [GGUFHeader] = []
        for index in 1...count {
            let file = name.path(index)
            let part = index == name.index ? header : try Self.part(file, of: count)
            guard part.metadata["split.no"]?.whole == index - 1,
                part.metadata["split.count"]?.whole == count
            else {
                throw GGUFError(
                    .damaged, "is not part \(index) of \(count), as its name says", path: file)
            }
            parts.append(part)
        }
        try Self.check(parts)
        self.path = name.path(1)
        self.parts = parts
    }

    private static func part(_ file: String, of count: Int) throws(GGUFError) -> GGUFHeader {
        do throws(GGUFError) {
            return try GGUFHeader(path: file)
        } catch {
            guard error.code == .missing else { throw error }
            throw GGUFError(
                .missing, "this file of the \(count) of the model is missing", path: file)
        }
    }

    private static func check(_ parts: [GGUFHeader]) throws(GGUFError) {
        var names: Set<String> = []
        for part in parts {
            for tensor in part.tensors where !names.insert(tensor.name).inserted {
                throw GGUFError(
                    .damaged, "stands in two files", path: part.path, tensor: tensor.name)
            }
        }
        if let total = parts[0].metadata["split.tensors.count"]?.whole, total != names.count {
            throw GGUFError(
                .damaged, "the files hold \(names.count) tensors where \(total) are announced",
                path: parts[0].path)
        }
    }
}

/// The name of one of several files: `model-00001-of-00003.gguf`.
struct SplitName {
    private let stem: String
    let index: Int
    let count: Int

    init?(_ path: String) {
        guard path.lowercased().hasSuffix(".gguf") else { return nil }
        let words = path.dropLast(".gguf".count)
            .split(separator: "-", omittingEmptySubsequences: false)
        guard words.count >= 4, words[words.count - 2] == "of",
            words[words.count - 1].utf8.count == 5, words[words.count - 3].utf8.count == 5,
            let count = Int(words[words.count - 1]), let index = Int(words[words.count - 3]),
            (1...max(count, 1)).contains(index)
        else { return nil }
        stem = words.dropLast(3).joined(separator: "-")
        self.index = index
        self.count = count
    }

    /// The path of another of the files.
    func path(_ index: Int) -> String {
        "\(stem)-\(Self.padded(index))-of-\(Self.padded(count)).gguf"
    }

    static func padded(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }
}
