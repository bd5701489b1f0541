// SPDX-License-Identifier: Apache-2.0
// The machine's speeds, measured once and kept beside the caches.
import EftCommandLine
import EftFormats
import EftModels
import EftPlanning
import EftTensor

/// A calibration, and the disks that matter to a command.
struct MachineSpeeds {
    private let calibration: Calibration
    private let precision: ActivationPrecision
    private let caches: String
    private let folder: String

    /// Takes the kept calibration.
    /// - Parameters:
    ///   - folder: the model's folder.
    ///   - measuring: whether to measure what is not known, which takes some seconds; otherwise nil is returned.
    /// - Throws: `Interruption`, and `TensorError` when there is no memory to measure with.
    init?(
        _ arguments: ParsedArguments, folder: String, _ backend: CPUBackend, measuring: Bool
    ) throws {
        guard let standard = try? CacheFolder.standard() else { return nil }
        caches = arguments.string("cache-dir", default: standard)
        self.folder = folder
        precision = backend.precision
        let store = CalibrationStore(folder: standard)
        guard measuring else {
            guard let kept = store.load(Calibration.Machine(backend)) else { return nil }
            calibration = kept
            return
        }
        let progress = ProgressReporter(output: .standardError)
        let isJSON = arguments.flag("json")
        calibration = try store.calibration(backend, folders: [caches, folder, "."]) { what in
            guard !InterruptFlag.isRaised else {
                throw Interruption(description: "interrupted while measuring the machine")
            }
            if !isJSON { progress.update("measuring this machine, once: \(what)") }
        }
        progress.finish()
    }

    /// An estimator of work with a model.
    func estimator(_ description: DecoderDescription) -> Estimator {
        Estimator(
            calibration: calibration, description: description, precision: precision,
            streamingDisk: calibration.disk(of: caches))
    }

    /// The disk of the model's folder.
    var source: Calibration.DiskRates? { calibration.disk(of: folder) }
    /// The disk of the working folder, where results are taken to go.
    var target: Calibration.DiskRates? { calibration.disk(of: ".") }
}
