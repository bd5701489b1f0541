// SPDX-License-Identifier: Apache-2.0
// Numbers and times as people read them.

/// A number with a fixed count of decimals, rounded half away from zero.
package func formatFixed(_ value: Double, decimals: Int) -> String {
    guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
    var power = 1
    for _ in 0..<min(max(decimals, 0), 9) { power *= 10 }
    let scaled = (value.magnitude * Double(power)).rounded()
    // Beyond this there are no decimals to show.
    guard scaled < 1e18 else { return "\(value)" }
    let units = Int(scaled)
    let sign = value < 0 && units > 0 ? "-" : ""
    guard power > 1 else { return "\(sign)\(units)" }
    let fraction = String(units % power)
    let zeros = String(repeating: "0", count: min(max(decimals, 0), 9) - fraction.count)
    return "\(sign)\(units / power).\(zeros)\(fraction)"
}

/// A number with at most so many decimals, without zeros at the end: 4, 4.65.
package func formatTrimmed(_ value: Double, decimals: Int) -> String {
    let text = formatFixed(value, decimals: decimals)
    guard text.contains(".") else { return text }
    let trimmed = text.reversed().drop { $0 == "0" }.drop { $0 == "." }
    return String(trimmed.reversed())
}

/// A time span in the two largest units that matter: `0.4 s`, `42 s`, `3 min 05 s`, `2 h 03 min`,
/// `4 d 02 h`.
package func formatDuration(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds >= 0, seconds < 1e15 else { return "?" }
    if seconds < 9.95 { return "\(formatFixed(seconds, decimals: 1)) s" }
    let total = Int(seconds.rounded())
    if total < 60 { return "\(total) s" }
    if total < 3600 { return "\(total / 60) min \(twoDigits(total % 60)) s" }
    let minutes = Int((seconds / 60).rounded())
    if minutes < 24 * 60 { return "\(minutes / 60) h \(twoDigits(minutes % 60)) min" }
    let hours = Int((seconds / 3600).rounded())
    return "\(hours / 24) d \(twoDigits(hours % 24)) h"
}

/// A rate with three significant digits at least: `0.52 steps/s`, `36.1 tokens/s`, `1234 tokens/s`.
package func formatRate(_ perSecond: Double, _ unit: String) -> String {
    guard perSecond.isFinite, perSecond >= 0 else { return "? \(unit)/s" }
    let decimals = perSecond < 9.995 ? 2 : perSecond < 99.95 ? 1 : 0
    return "\(formatFixed(perSecond, decimals: decimals)) \(unit)/s"
}

private func twoDigits(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
