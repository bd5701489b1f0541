// SPDX-License-Identifier: Apache-2.0
// What a converted model folder holds besides weights: checks of its path, and copies of other files.
import EftConfig
import EftFormats
import EftTokenizers

#if canImport(Glibc)
    import Glibc
#endif

/// The folder that a conversion writes.
package enum OutputFolder {
    /// Ends of names of files that hold weights, or are on their way to.
    private static let weightSuffixes = [
        ".safetensors", ".bin", ".index.json", ".partial", ".pt", ".pth", ".h5", ".msgpack",
        ".gguf", ".onnx",
    ]

    /// Whether the name is that of a file which decides what the weights are.
    static func isWeightsOrSettings(_ name: String) -> Bool {
        !name.hasSuffix(OutputFile.partialSuffix)
            && (name.hasSuffix(".json") || weightSuffixes.contains(where: name.hasSuffix))
    }

    /// Refuses an output that is one of the inputs, whatever names they are given by.
    /// - Throws: `ConversionError` (`usage`).
    package static func requireApart(_ output: String, from inputs: [String]) throws {
        guard !output.isEmpty else {
            throw ConversionError(.usage, "the output folder has no name; give one")
        }
        try requireFolderName(output)
        for input in inputs {
            let folder = FileSystem.isFolder(input) ? input : FileSystem.folder(of: input)
            guard output != folder, !isSame(output, folder) else {
                throw ConversionError(
                    .usage, "this is the input or work folder; give another folder for the output",
                    path: output)
            }
        }
        guard !FileSystem.exists(output) || FileSystem.isDirectory(output) else {
            throw ConversionError(
                .usage, "there is a file of this name; give a folder", path: output)
        }
    }

    /// Whether an output is meant as one weight file: its name says so, and it is no folder.
    package static func isFile(_ output: String) -> Bool {
        output.hasSuffix(".safetensors") && !FileSystem.isFolder(output)
    }

    /// Refuses an output file that is one of the inputs.
    /// - Throws: `ConversionError` (`usage`).
    static func requireApart(file output: String, from inputs: [String]) throws {
        for input in inputs where output == input || isSame(output, input) {
            throw ConversionError(
                .usage, "this is the input; give another file for the output", path: output)
        }
    }

    /// Refuses the name of a weight file of a form that is not written.
    private static func requireFolderName(_ output: String) throws {
        for suffix in [".bin", ".pt", ".pth", ".gguf", ".ckpt", ".onnx"]
        where output.lowercased().hasSuffix(suffix) && !FileSystem.isDirectory(output) {
            throw ConversionError(
                .usage,
                "\(suffix) files are not written; give a folder, or a name that ends with .safetensors",
                path: output)
        }
    }

    private static func isSame(_ a: String, _ b: String) -> Bool {
        var (first, second) = (stat(), stat())
        guard stat(a, &first) == 0, stat(b, &second) == 0 else { return false }
        return first.st_ino == second.st_ino && first.st_dev == second.st_dev
    }

    /// Refuses an output folder whose other weights a reader would take for the new ones.
    /// - Parameter stem: the base name of the new weight files, the only ones that may be there.
    /// - Throws: `ConversionError` (`usage`).
    static func requireNoOtherWeights(_ output: String, stem: String) throws {
        guard FileSystem.isFolder(output) else { return }
        for name in try FileSystem.list(output) where name.hasSuffix(".safetensors") {
            guard name.hasPrefix(stem + ".") || name.hasPrefix(stem + "-") else {
                throw ConversionError(
                    .usage, "other weights (\(name)) are here already; give an empty folder",
                    path: output)
            }
        }
    }

    /// Copies all plain files but weights, their indexes, and `config.json`, which changes.
    /// - Throws: `FormatError`.
    static func copyOtherFiles(
        from source: String, to output: String,
        except names: Set<String> = ["config.json", "quantize_config.json"]
    ) throws {
        for name in try FileSystem.list(source) where !names.contains(name) {
            let path = FileSystem.join(source, name)
            if name.hasPrefix(".") || FileSystem.isFolder(path)
                || weightSuffixes.contains(where: name.hasSuffix)
            {
                continue
            }
            try FileSystem.copy(path, to: FileSystem.join(output, name))
        }
    }

    /// Copies the files of a tokenizer where `source` holds a whole one.
    /// - Throws: `FormatError`.
    static func copyTokenizer(from source: String, to output: String) throws {
        guard TokenizerFiles.hasTokenizer(source) else { return }
        let names = try FileSystem.list(source)
        // A tokenizer of another form that is there already would be read before this one.
        let earlier = TokenizerFiles.forms(before: names)
        for name in try FileSystem.list(output) where earlier.contains(name) {
            try FileSystem.remove(FileSystem.join(output, name))
        }
        for name in names where TokenizerFiles.isOne(name) && name != "generation_config.json" {
            try FileSystem.copy(
                FileSystem.join(source, name), to: FileSystem.join(output, name))
        }
    }
}
