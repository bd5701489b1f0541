// SPDX-License-Identifier: Apache-2.0
// What a quantization depends on, as a note of its settings and as a digest.
import EftConfig
import EftFormats
import EftModels

/// A job's settings and identity.
struct JobFingerprint {
    let folder: ModelFolder
    let checkpoint: any CheckpointReader
    let calibration: CalibrationRows
    let options: QuantizeOptions
    let measurement: Measurement?

    /// The settings as the note of the job has them, in ExLlamaV2's words where it has one.
    func settings(input: String, output: String?, fingerprint: String) -> ConfigObject {
        var job = ConfigObject()
        job["in_dir"] = ConfigNode(.string(input))
        job["cal_dataset"] = ConfigNode(.string(calibration.name))
        job["cal_path"] = calibration.path.map { ConfigNode($0) } ?? .null
        job["format"] = ConfigNode(options.form.name)
        if let settings = options.form.gptq {
            job["group_size"] = ConfigNode(settings.groupSize)
            job["act_order"] = ConfigNode(.bool(settings.isActivityOrdered))
        }
        job["bits"] = ConfigNode(.real(options.bits))
        job["recipe"] = ConfigNode(options.recipe.rawValue)
        job["dataset_rows"] = ConfigNode(.integer(calibration.rows.count))
        job["length"] = ConfigNode(.integer(calibration.longest))
        job["measurement_rows"] = ConfigNode(.integer(options.measurementRows))
        job["measurement_length"] = ConfigNode(.integer(options.measurementLength))
        job["head_bits"] = ConfigNode(.integer(options.headBits))
        job["quantize_embedding"] = ConfigNode(.bool(options.quantizesEmbedding))
        job["shard_size"] = ConfigNode(
            options.maxShardBytes == .max ? 0 : options.maxShardBytes >> 20)
        job["rope_scale"] = options.ropeScale.map { ConfigNode($0) } ?? .null
        job["rope_alpha"] = options.ropeAlpha.map { ConfigNode($0) } ?? .null
        job["adapter"] = options.adapter.map { ConfigNode($0) } ?? .null
        job["reuse_measurement"] = options.measurement.map { ConfigNode($0) } ?? .null
        job["compile_full"] = output.map { ConfigNode(.string($0)) } ?? ConfigNode(.null)
        job["fingerprint"] = ConfigNode(fingerprint)
        return job
    }

    /// A digest of model, calibration and options; of weights, the first bytes of each tensor.
    func text() throws -> String {
        var digest = Fingerprint()
        let version = options.pauses ? 3 : 2
        digest.add("\(version) \(options.recipe.rawValue) \(options.bits) \(options.headBits)")
        digest.add("\(options.measurementRows) \(options.measurementLength)")
        if let settings = options.form.gptq {
            digest.add("gptq \(settings.groupSize) \(settings.isActivityOrdered)")
        }
        if options.quantizesEmbedding { digest.add("embedding") }
        if options.ropeScale != nil || options.ropeAlpha != nil {
            digest.add("\(options.ropeScale ?? 1) \(options.ropeAlpha ?? 1)")
        }
        if let adapter = options.adapter {
            let config = FileSystem.join(adapter, "adapter_config.json")
            digest.add(try FileSystem.read(config))
        }
        if let measurement { digest.add(JSONText.string(measurement.node)) }
        digest.add(try FileSystem.read(FileSystem.join(folder.path, "config.json")))
        for row in calibration.rows {
            digest.add(String(row.count))
            digest.add(
                row.lazy.flatMap {
                    [
                        UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8),
                        UInt8(truncatingIfNeeded: $0 >> 16),
                    ]
                })
        }
        var start = [UInt8](repeating: 0, count: 64)
        for tensor in checkpoint.tensors {
            digest.add("\(tensor.name) \(tensor.dtype.rawValue) \(tensor.shape)")
            let count = min(start.count, tensor.byteCount)
            try start.withUnsafeMutableBytes {
                try checkpoint.read(
                    tensor.name, bytes: 0..<count,
                    into: UnsafeMutableRawBufferPointer(rebasing: $0[..<count]))
            }
            digest.add(start.prefix(count))
        }
        return digest.text
    }
}

/// A digest of what a job depends on (FNV-1a, 64 bits).
struct Fingerprint {
    private var state: UInt64 = 0xCBF2_9CE4_8422_2325

    /// Adds bytes.
    mutating func add(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { state = (state ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
    }

    /// Adds a text, told apart from what follows.
    mutating func add(_ text: String) {
        add(text.utf8)
        add([0])
    }

    /// The digest in hexadecimal.
    var text: String {
        let digits = String(state, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
