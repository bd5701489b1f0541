// SPDX-License-Identifier: Apache-2.0
// Checkpoints from which a run goes on as if it had never stopped.
import EftConfig
import EftFormats
import EftNN
import EftTensor

/// A folder `checkpoint-N`: what was trained in the ecosystem's format, and the exact state of the run.
///
/// | file | content |
/// |---|---|
/// | `trainer_state.safetensors` | for each parameter its value in f32, and what the optimizer keeps of it |
/// | `trainer_state.json` | step, number of steps, optimizer, fingerprint of data and settings; written last |
package enum TrainingCheckpoint {
    private static let stateFile = "trainer_state.json"
    private static let prefix = "checkpoint-"
    private static let tensorBase = "trainer_state"

    /// What a run must have in common with the checkpoint that it goes on from.
    package struct State: Sendable, Hashable {
        /// Steps made.
        package var step: Int
        /// Steps of the whole run.
        package var totalSteps: Int
        /// A hash of data and settings.
        package var fingerprint: String
        /// The name of the optimizer's rule.
        package var optimizer = "adamw"
        /// The lowest loss of an evaluation so far.
        var best: RunGuard.Best?
        /// Evaluations since then.
        var withoutGain = 0
        /// How often the adapter has begun anew.
        var restarts = 0
        /// Whether a run can go on from it.
        package var isWhole = true

        /// Describes a checkpoint.
        package init(step: Int, totalSteps: Int, fingerprint: String) {
            self.step = step
            self.totalSteps = totalSteps
            self.fingerprint = fingerprint
        }
    }

    /// The folder of the checkpoint after `step` steps.
    package static func folder(_ outputDir: String, step: Int) -> String {
        FileSystem.join(outputDir, prefix + "\(step)")
    }

    /// Makes a checkpoint aside and gives it its name when it is whole; one of this name stays until then.
    /// - Parameter write: writes all files into the folder that it is given.
    /// - Throws: `FormatError`, and what `write` throws; then nothing is left of the new one.
    package static func replace(_ folder: String, write: (String) throws -> Void) throws {
        let partial = folder + OutputFile.partialSuffix
        try FileSystem.removeFolder(partial)
        try FileSystem.createFolder(partial)
        do { try write(partial) } catch {
            try? FileSystem.removeFolder(partial)
            throw error
        }
        let older = folder + ".older"
        if FileSystem.exists(folder) {
            try FileSystem.removeFolder(older)
            try FileSystem.move(folder, to: older)
        }
        try FileSystem.move(partial, to: folder)
        try FileSystem.syncFolder(FileSystem.folder(of: folder))
        // Others may have put folders there, which are not ours to remove.
        try? FileSystem.removeFolder(older, first: [stateFile])
    }

    /// The parameter's own run, before those of its state.
    private static func valueRun(_ parameter: Parameter) -> StateLayout.Run {
        StateLayout.Run(
            name: "value", dtype: .f32, count: parameter.value.floatCount, offset: 0)
    }

    /// Writes the state of a run into a folder: its description, and when it is whole its tensors.
    package static func save(_ optimizer: Optimizer, state: State, to folder: String) throws {
        if state.isWhole { try saveTensors(optimizer, to: folder) }
        var object = ConfigObject()
        object["global_step"] = ConfigNode(.integer(state.step))
        object["max_steps"] = ConfigNode(.integer(state.totalSteps))
        object["optimizer"] = ConfigNode(.string(optimizer.rule.name))
        object["fingerprint"] = ConfigNode(.string(state.fingerprint))
        if state.restarts > 0 { object["num_lora_restarts"] = ConfigNode(state.restarts) }
        if !state.isWhole { object["save_only_model"] = true }
        if let best = state.best {
            object["best_metric"] = ConfigNode(.real(best.loss))
            object["best_global_step"] = ConfigNode(.integer(best.step))
            object["evaluations_without_gain"] = ConfigNode(.integer(state.withoutGain))
        }
        let text = JSONWriter.text(ConfigNode(.object(object)), layout: .indented(2)) + "\n"
        try AtomicFile.write(FileSystem.join(folder, stateFile), Array(text.utf8))
    }

    private static func saveTensors(_ optimizer: Optimizer, to folder: String) throws {
        var infos: [TensorInfo] = []
        for (parameter, layout) in zip(optimizer.parameters, optimizer.layouts) {
            for run in [valueRun(parameter)] + layout.runs {
                infos.append(
                    try TensorInfo(
                        name: parameter.name + "." + run.name, dtype: run.dtype,
                        shape: Shape(run.count)))
            }
        }
        let writer = try SafetensorsWriter(folder: folder, baseName: tensorBase, tensors: infos)
        try optimizer.states.forEach { index, buffer in
            let parameter = optimizer.parameters[index]
            func write(_ run: StateLayout.Run, _ buffer: Buffer) throws {
                try writer.write(
                    parameter.name + "." + run.name,
                    UnsafeRawBufferPointer(start: buffer.base + run.offset, count: run.byteCount))
            }
            try write(valueRun(parameter), parameter.value)
            for run in optimizer.layouts[index].runs { try write(run, buffer) }
        }
        try writer.finish()
    }

    /// Reads the state of a run; parameters and what the optimizer keeps of them are overwritten.
    /// - Throws: `TrainingError` (`checkpoint`) when it belongs to another run, or was made with another optimizer.
    package static func restore(_ optimizer: Optimizer, from folder: String) throws {
        let state = try readWhole(folder)
        guard state.optimizer == optimizer.rule.name else {
            throw TrainingError(
                .checkpoint,
                "\(folder) was saved with the optimizer \(excerpt(state.optimizer)), not \(optimizer.rule.name); "
                    + "resume with that one, or train anew by removing resume_from_checkpoint")
        }
        let path = FileSystem.join(folder, tensorBase + ".safetensors")
        let checkpoint = try CheckpointFolder.open(path)
        try optimizer.states.forEach { index, buffer in
            let parameter = optimizer.parameters[index]
            func read(_ run: StateLayout.Run, _ buffer: Buffer) throws {
                let name = parameter.name + "." + run.name
                guard let info = checkpoint.find(name), info.byteCount == run.byteCount,
                    info.dtype == run.dtype
                else {
                    throw TrainingError(
                        .checkpoint,
                        "\(path) has no '\(name)' of \(run.count) numbers; it was saved by a run "
                            + "with another model or other adapter settings")
                }
                try checkpoint.read(
                    name,
                    into: UnsafeMutableRawBufferPointer(
                        start: buffer.base + run.offset, count: run.byteCount))
            }
            try read(valueRun(parameter), parameter.value)
            for run in optimizer.layouts[index].runs { try read(run, buffer) }
        }
        optimizer.steps = state.step
    }

    /// Reads the description of a checkpoint from which a run can go on.
    /// - Throws: `TrainingError` (`checkpoint`) for one that has no state.
    package static func readWhole(_ folder: String) throws -> State {
        let state = try read(folder)
        guard state.isWhole else {
            throw TrainingError(
                .checkpoint,
                "\(folder) holds what was trained and no state to go on from (save_only_model)")
        }
        return state
    }

    /// Reads the description of a checkpoint.
    package static func read(_ folder: String) throws -> State {
        let path = FileSystem.join(folder, stateFile)
        guard FileSystem.exists(path) else {
            throw TrainingError(.checkpoint, "\(folder) holds no trainer_state.json to resume from")
        }
        let cursor = ConfigCursor(
            try JSONParser.parse(try FileSystem.read(path), file: path), file: path)
        let step = try cursor.required("global_step").int()
        guard step >= 0, step < 1 << 40 else {
            throw cursor.error(.badValue, "global_step \(step) makes no sense")
        }
        var state = State(
            step: step, totalSteps: try cursor.required("max_steps").int(),
            fingerprint: try cursor.required("fingerprint").string())
        // Checkpoints of before there were others do not say it.
        state.optimizer = try cursor.optional("optimizer")?.string() ?? state.optimizer
        state.isWhole = try !cursor.bool("save_only_model", default: false)
        state.restarts = try cursor.int("num_lora_restarts", default: 0, in: 0...step)
        if let loss = try cursor.optional("best_metric")?.double() {
            state.best = RunGuard.Best(
                loss: loss, step: try cursor.required("best_global_step").int(in: 0...step))
            state.withoutGain = try cursor.int(
                "evaluations_without_gain", default: 0, in: 0...Int(Int32.max))
        }
        return state
    }

    /// Removes a checkpoint; its state file goes first, so that what is left is never taken for whole.
    package static func remove(_ folder: String) throws {
        try FileSystem.removeFolder(folder, first: [stateFile])
    }

    /// The whole checkpoints of an output folder, oldest first; half-written ones have no state file.
    package static func list(_ outputDir: String) -> [(step: Int, folder: String)] {
        let names = (try? FileSystem.list(outputDir)) ?? []
        let found = names.compactMap { name -> (step: Int, folder: String)? in
            guard name.hasPrefix(prefix), let step = Int(name.dropFirst(prefix.count)) else {
                return nil
            }
            let folder = FileSystem.join(outputDir, name)
            guard FileSystem.exists(FileSystem.join(folder, stateFile)) else { return nil }
            return (step, folder)
        }
        return found.sorted { $0.step < $1.step }
    }
}
