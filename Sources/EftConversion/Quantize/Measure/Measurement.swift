// SPDX-License-Identifier: Apache-2.0
// What each block of a model may be quantized to, in the form that ExLlamaV2 exchanges as measurement.json.
import EftConfig
import EftFormats
import EftModels
import EftQuant

/// The measured options of a model's blocks.
///
/// The file is ExLlamaV2's: `measurement`, for each block a list of options with `accuracy`, `total_bits` and the widths
/// of each projection; and `last_module_idx`. Files that were measured here add `divergence` to each option, which other
/// readers leave alone.
package struct Measurement: Sendable, Hashable {
    /// The options of each block, by its path.
    package private(set) var options: [String: [WidthOption]] = [:]
    /// The order in which blocks were measured.
    private var order: [String] = []

    /// Makes an empty measurement.
    init() {}

    /// Adds the options of a block.
    mutating func add(_ key: String, _ found: [WidthOption]) {
        if options[key] == nil { order.append(key) }
        options[key] = found
    }

    /// Reads a file.
    /// - Throws: `ConversionError` (`damaged`) for a file that is no measurement, `FormatError` when it cannot be read.
    package init(file: String) throws {
        do {
            let root = ConfigCursor(
                try JSONParser.parse(FileSystem.read(file), file: file), file: file)
            for (key, list) in try root.required("measurement").entries() {
                if let parts = try? list.entries() {
                    // Layers whose halves run side by side hold a list for each half.
                    for (half, list) in parts { add(key + "." + half, try Measurement.list(list)) }
                } else {
                    add(key, try Measurement.list(list))
                }
            }
        } catch let error as ConfigError {
            throw ConversionError(
                .damaged, "this is no measurement of ExLlamaV2's form (\(error))", path: file)
        }
    }

    private static func list(_ list: ConfigCursor) throws(ConfigError) -> [WidthOption] {
        var found: [WidthOption] = []
        for element in try list.elements() { found.append(try WidthOption(element)) }
        return found
    }

    /// The file's content.
    package var node: ConfigNode {
        var blocks = ConfigObject()
        for key in order {
            blocks[key] = ConfigNode(.array((options[key] ?? []).map(\.node)))
        }
        var root = ConfigObject()
        root["measurement"] = ConfigNode(.object(blocks))
        // ExLlamaV2 counts embedding, blocks, norm and head as modules; this is the last block's place.
        root["last_module_idx"] = ConfigNode(order.count)
        return ConfigNode(.object(root))
    }

    /// Writes the file, whole or not at all.
    package func write(to file: String) throws {
        try AtomicFile.write(file, JSONText.string(node, indent: 4) + "\n")
    }

    /// The options of a model's blocks, in order, their bits counted for this model.
    /// - Throws: `ConversionError` (`mismatch`) when the measurement is of another model.
    func options(for blocks: [WidthBlock], file: String?) throws(ConversionError) -> [[WidthOption]]
    {
        var result: [[WidthOption]] = []
        for block in blocks {
            guard let found = options[block.key], !found.isEmpty else {
                throw ConversionError(
                    .mismatch,
                    "the measurement has no options for this block: it is of "
                        + "another model",
                    path: file, tensor: block.key)
            }
            var counted: [WidthOption] = []
            for option in found {
                guard let bits = block.storedBits(option.sections) else {
                    throw ConversionError(
                        .mismatch,
                        "an option of the measurement does not name the widths of all inputs of "
                            + "\(block.linears.map(\.projection).joined(separator: ", ")): it is of another model",
                        path: file, tensor: block.key)
                }
                guard bits == option.bits else {
                    throw ConversionError(
                        .mismatch,
                        "an option of the measurement has \(option.bits) bits where this model's block "
                            + "has \(bits): it is of another model", path: file, tensor: block.key)
                }
                counted.append(option)
            }
            result.append(counted)
        }
        return result
    }
}

extension WidthOption {
    /// The option as an object.
    package var node: ConfigNode {
        var object = ConfigObject()
        object["accuracy"] = ConfigNode(.real(accuracy))
        object["total_bits"] = ConfigNode(bits)
        if let divergence { object["divergence"] = ConfigNode(.real(divergence)) }
        for projection in sections.keys.sorted() {
            object[projection] = WidthOption.node(sections[projection] ?? [])
        }
        return ConfigNode(.object(object))
    }

    private static func node(_ sections: [EXL2Section]) -> ConfigNode {
        var sizes = ConfigObject()
        for section in sections { sizes[String(section.bits)] = ConfigNode(section.groupSize) }
        var object = ConfigObject()
        object["group_size"] = ConfigNode(.object(sizes))
        object["bits"] = ConfigNode(.array(sections.map { ConfigNode($0.bits) }))
        object["bits_prop"] = ConfigNode(.array(sections.map { ConfigNode(.real($0.proportion)) }))
        object["scale_bits"] = ConfigNode(4)
        return ConfigNode(.object(object))
    }

    /// Reads an option.
    /// - Throws: `ConfigError` for anything that an EXL2 matrix cannot have.
    package init(_ config: ConfigCursor) throws(ConfigError) {
        var sections: [String: [EXL2Section]] = [:]
        for (key, cursor) in try config.entries() {
            guard case .object = cursor.node.value else { continue }
            sections[key] = try WidthOption.sections(cursor)
        }
        var divergence: Double?
        if let cursor = try config.optional("divergence") { divergence = try cursor.double() }
        self.init(
            accuracy: try config.required("accuracy").double(in: -1e6...1),
            bits: try config.required("total_bits").int(in: 0...(1 << 50)), divergence: divergence,
            sections: sections)
    }

    private static func sections(_ config: ConfigCursor) throws(ConfigError) -> [EXL2Section] {
        let widths = try config.required("bits").elements()
        let shares = try config.required("bits_prop").elements()
        let sizes = try config.required("group_size")
        guard try config.required("scale_bits").int() == 4 else {
            throw config.error(.badValue, "scales of EXL2 have 4 bits")
        }
        guard !widths.isEmpty, widths.count == shares.count else {
            throw config.error(.badValue, "bits and bits_prop must have as many entries")
        }
        var result: [EXL2Section] = []
        for (width, share) in zip(widths, shares) {
            let bits = try width.int()
            guard EXL2Group.widths.contains(bits), bits < result.last?.bits ?? 9 else {
                throw width.error(.badValue, "widths are 8, 6, 5, 4, 3, 2, falling")
            }
            let size = try sizes.required(String(bits)).int(in: 32...(1 << 16))
            guard size % 32 == 0 else {
                throw sizes.error(.badValue, "group sizes are multiples of 32")
            }
            result.append(
                EXL2Section(bits: bits, groupSize: size, proportion: try share.double(in: 0...1)))
        }
        return result
    }
}
