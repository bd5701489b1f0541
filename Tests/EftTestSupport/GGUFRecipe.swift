// SPDX-License-Identifier: Apache-2.0
// Files that llama.cpp's own conversion wrote, made of the folder's numbers by the recipes of scripts/fixtures/gguf_models.py.
import EftFormats

/// Recipes of GGUF files: heads, and where each tensor's bytes stand in the folder that was converted.
package enum GGUFRecipe {
    /// The recipes that there are.
    package static let names: [String] = {
        guard let names = try? Fixtures.list("gguf/recipes"), !names.isEmpty else {
            preconditionFailure("no recipes of GGUF files")
        }
        return names.map { String($0.dropLast(".recipe".count)) }
    }()

    /// The folder of `architectures` whose conversion a recipe describes.
    package static func source(of name: String) -> String {
        "architectures/" + (name == "mistral3" ? "mistral" : name)
    }

    /// Makes a file as llama.cpp's conversion wrote it.
    /// - Returns: its path.
    package static func make(_ name: String, in folder: TemporaryFolder) throws -> String {
        var recipe = Reader(
            bytes: try FileSystem.read(Fixtures.path("gguf/recipes/\(name).recipe")))
        let source = try FileSystem.read(Fixtures.path(source(of: name) + "/model.safetensors"))
        var file = recipe.take(recipe.next())
        let head = file.count
        for _ in 0..<recipe.next() {
            let first = head + recipe.next()
            file += [UInt8](repeating: 0, count: first - file.count)
            for _ in 0..<recipe.next() {
                if recipe.next() == 1 {
                    file += recipe.take(recipe.next())
                    continue
                }
                let place = recipe.next()
                let step = Int(Int32(truncatingIfNeeded: recipe.next()))
                for index in 0..<recipe.next() {
                    file += source[place + index * step..<place + index * step + 4]
                }
            }
        }
        return try folder.write("\(name).gguf", file)
    }

    private struct Reader {
        let bytes: [UInt8]
        var place = 0

        mutating func next() -> Int {
            take(4).reversed().reduce(0) { $0 << 8 | Int($1) }
        }

        mutating func take(_ count: Int) -> [UInt8] {
            place += count
            return Array(bytes[place - count..<place])
        }
    }
}
