// SPDX-License-Identifier: Apache-2.0
// Progress for other programs, as ExLlamaV2's converter prints it with -so.
import EftCommandLine
import EftConfig
import EftConversion

/// Prints `[STATUS]` and a JSON object on standard output, once a second at most.
final class StatusLines {
    private var last: ContinuousClock.Instant?

    /// Tells how far the work is.
    func show(_ stage: String, _ step: ConversionMonitor.Progress) {
        let now = ContinuousClock.now
        if let last, now - last < .seconds(1), step.done < step.total { return }
        last = now
        let object: ConfigObject = [
            "stage": ConfigNode(stage), "item": ConfigNode(step.item),
            "completed": ConfigNode(step.done), "total": ConfigNode(step.total),
        ]
        TerminalOutput.standardOutput.writeLine(
            "[STATUS]" + JSONWriter.text(ConfigNode(.object(object))))
    }
}
