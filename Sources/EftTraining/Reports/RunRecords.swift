// SPDX-License-Identifier: Apache-2.0
// What is written about a run when it has ended.
import EftConfig
import EftFormats

/// Writes the model card and the report of a run.
enum RunRecords {
    /// Writes both beside the results; what cannot be written costs a line, since the results themselves are whole.
    /// - Returns: lines for the user.
    static func write(_ facts: RunFacts) -> [String] {
        let folder = facts.config.training.outputDir
        var notices = [write(ModelCard.name, in: folder, ModelCard(facts).text)]
        if facts.config.reports.htmlReport {
            notices.append(write(RunReport.name, in: folder, RunReport(facts).html))
        }
        return notices.compactMap(\.self)
    }

    private static func write(_ name: String, in folder: String, _ text: String) -> String? {
        let path = FileSystem.join(folder, name)
        do {
            guard try OwnedText.write(path, text) else {
                return "\(path) is not Eft's, or was changed since; it stays as it is"
            }
            return nil
        } catch { return "\(name) could not be written: \(error)" }
    }
}
