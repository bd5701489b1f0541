// SPDX-License-Identifier: Apache-2.0
// What a work folder knows of its job, to go on without naming everything again.
import EftConfig
import EftFormats

/// Settings of a job that was begun in a work folder.
package struct QuantizeSettings: Sendable, Hashable {
    /// The model's folder.
    package let input: String
    /// The finished folder; nil when weights go to the work folder.
    package let output: String?
    /// The calibration file; nil for the built-in text.
    package let calibration: String?
    /// Widths, rows, length, shards and rotary settings.
    package let options: QuantizeOptions

    /// Reads the note of a job; nil when the folder holds none.
    /// - Throws: `ConversionError` (`damaged`).
    package static func read(work: String) throws -> QuantizeSettings? {
        let path = FileSystem.join(work, WorkFolder.jobName)
        guard FileSystem.exists(path) else { return nil }
        do {
            let job = ConfigCursor(
                try JSONParser.parse(FileSystem.read(path), file: path), file: path)
            let sizes = 1...(1 << 30)
            let shard = try job.int("shard_size", default: 8192, in: 0...(1 << 30))
            var options = QuantizeOptions(
                bits: try job.required("bits").double(), recipe: try recipe(job),
                headBits: try job.required("head_bits").int(),
                rows: try job.required("dataset_rows").int(in: sizes),
                length: try job.required("length").int(in: sizes),
                maxShardBytes: shard == 0 ? .max : shard << 20)
            options.form = try form(job)
            options.measurementRows = try job.int(
                "measurement_rows", default: options.measurementRows, in: sizes)
            options.measurementLength = try job.int(
                "measurement_length", default: options.measurementLength, in: sizes)
            options.quantizesEmbedding = try job.bool("quantize_embedding", default: false)
            options.adapter = try job.optional("adapter")?.string()
            options.measurement = try job.optional("reuse_measurement")?.string()
            options.ropeScale = try job.optional("rope_scale")?.double()
            options.ropeAlpha = try job.optional("rope_alpha")?.double()
            return QuantizeSettings(
                input: try job.required("in_dir").string(),
                output: try job.optional("compile_full")?.string(),
                calibration: try job.optional("cal_path")?.string(), options: options)
        } catch let error as ConfigError {
            throw ConversionError(
                .damaged, "the job is damaged (\(error)); start anew with -nr", path: work)
        }
    }

    private static func form(_ job: ConfigCursor) throws(ConfigError) -> QuantizeForm {
        switch try job.string("format", default: "exl2") {
        case "exl2": return .exl2
        case "gptq":
            return .gptq(
                GPTQSettings(
                    groupSize: try job.required("group_size").int(in: 1...(1 << 20)),
                    isActivityOrdered: try job.bool("act_order", default: false)))
        case let other:
            throw try job.required("format").error(.badValue, "unknown format \(other)")
        }
    }

    private static func recipe(_ job: ConfigCursor) throws(ConfigError) -> QuantizeRecipe {
        let cursor = try job.required("recipe")
        guard let recipe = QuantizeRecipe(rawValue: try cursor.string()) else {
            throw cursor.error(.badValue, "unknown recipe")
        }
        return recipe
    }
}
