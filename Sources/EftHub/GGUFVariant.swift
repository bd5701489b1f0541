// SPDX-License-Identifier: Apache-2.0
// Which of a repository's GGUF files is meant.
import EftFormats

/// Finds a GGUF file among paths by the type of its weights, which stands in its name.
enum GGUFVariant {
    /// The type that is taken when none is named, as other programs do.
    static let usual = "Q4_K_M"

    /// Whether a word names a type of weights: `Q4_K_M`, `IQ3_XXS`, `UD-Q4_K_XL`, `BF16`.
    static func isType(_ word: some StringProtocol) -> Bool {
        var word = word.uppercased()[...]
        if word.hasPrefix("UD-") { word = word.dropFirst(3) }
        if ["F16", "BF16", "F32", "FP16", "FP32", "MXFP4", "MXFP4_MOE"].contains(word) {
            return true
        }
        for prefix in ["IQ", "TQ", "Q"] where word.hasPrefix(prefix) {
            let rest = word.dropFirst(prefix.count)
            guard let bits = rest.first, "12345678".contains(bits) else { return false }
            let tail = rest.dropFirst()
            return tail.hasPrefix("_") && tail.count > 1
                && tail.utf8.allSatisfy { byte in
                    byte == UInt8(ascii: "_")
                        || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte
                        || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte
                }
        }
        return false
    }

    /// A model in GGUF form: its files, the first first, and the type that its name tells.
    struct Model: Hashable {
        let paths: [String]
        let type: String?
    }

    /// The models among paths; files for vision and parts of split files are no models of their own.
    static func models(_ paths: [String]) -> [Model] {
        var groups: [String: [(index: Int, count: Int, path: String)]] = [:]
        for path in paths {
            let name = path.split(separator: "/").last.map { $0.lowercased() } ?? ""
            guard name.hasSuffix(".gguf"), !name.contains("mmproj"), !name.contains("imatrix")
            else { continue }
            let part = split(String(path.dropLast(".gguf".count)))
            groups[part.stem, default: []].append((part.index, part.count, path))
        }
        return groups.map { stem, files in
            Model(paths: files.sorted { $0.index < $1.index }.map(\.path), type: type(stem))
        }.sorted { ($0.paths.first ?? "") < ($1.paths.first ?? "") }
    }

    /// Whether all files of a model that was split are there.
    static func isWhole(_ model: Model) -> Bool {
        guard let first = model.paths.first else { return false }
        return split(String(first.dropLast(".gguf".count))).count == model.paths.count
    }

    /// The name without its end `-00001-of-00003`.
    private static func split(_ stem: String) -> (stem: String, index: Int, count: Int) {
        guard let shard = ShardName(stem), shard.count > 0 else { return (stem, 1, 1) }
        return (shard.stem, shard.index, shard.count)
    }

    /// The type in a name: the last word that is one.
    private static func type(_ stem: String) -> String? {
        let words = stem.split { "-./".contains($0) }
        guard let place = words.lastIndex(where: { isType($0) }) else { return nil }
        // The makers of some files put this word before the type.
        let isDynamic = place > 0 && words[place - 1].uppercased() == "UD"
        return (isDynamic ? "UD-" : "") + words[place].uppercased()
    }

    /// The model that a word means: a type, or a file's name.
    static func find(_ word: String, in models: [Model]) -> Model? {
        if let exact = models.first(where: { $0.paths.contains(word) }) { return exact }
        if word.lowercased().hasSuffix(".gguf") {
            return models.first { $0.paths.contains { $0.hasSuffix("/" + word) } }
        }
        let wanted = word.uppercased()
        let fits = models.filter { $0.type == wanted }
        let near = fits.isEmpty ? models.filter { $0.type == "UD-" + wanted } : fits
        // Files of the same type beside the model itself have longer names: drafts and variants.
        return near.min { ($0.paths.first ?? "").utf8.count < ($1.paths.first ?? "").utf8.count }
    }

    /// The models as they are named behind a colon.
    static func words(_ models: [Model]) -> [String] {
        var seen: Set<String> = []
        return models.compactMap { $0.type ?? $0.paths.first }.filter { seen.insert($0).inserted }
    }
}
