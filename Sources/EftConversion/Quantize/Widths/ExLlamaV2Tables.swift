// SPDX-License-Identifier: Apache-2.0
// The options among which ExLlamaV2's converter chooses for each half of a layer (exllamav2 0.3.2).
import EftQuant

/// Rows of sections, one for each projection, in the order of the converter's tables: roughly by size.
enum ExLlamaV2Tables {
    /// Options of query, key, value and output.
    static let attention: [[[EXL2Section]]] = [
        repeated("3,2@64 .05 .95"),
        row("3,2@64 .1 .9", value: "3,2@64 .25 .75"),
        row("3,2@64 .1 .9", value: "4,3@128 .1 .9"),
        row("3,2@64 .1 .9", value: "4,3@128 .1 .9", output: "4,3@128 .1 .9"),
        repeated("4,3@128 .1 .9"),
        row("4,3@128 .1 .9", value: "4,3@64 .1 .9"),
        repeated("4@128 1"),
        row("4@128 1", value: "4@64 1"),
        row("4@64 1", value: "4@32 1"),
        repeated("4@32 1"),
        row("5,4@128 .1 .9", value: "5,4@64 .1 .9"),
        row("5,4@64 .1 .9", value: "5,4@32 .1 .9"),
        row("5,4@64 .1 .9", value: "5@64 1"),
        row("5,4@32 .1 .9", value: "5@32 1"),
        row("6,5@128 .1 .9", value: "6@128 1"),
        row("6,5@32 .1 .9", value: "6@32 1"),
        repeated("6@128 1"),
        row("6@32 1", value: "8@32 1"),
        repeated("8@128 1"),
    ]

    /// Options of gate, up and down.
    static let mlp: [[[EXL2Section]]] = [
        mlp("3,2@64 .05 .95", "3,2@64 .05 .95", "6,3,2@32/64/64 .05 .2 .75"),
        mlp("3,2@64 .1 .9", "3,2@64 .25 .75", "6,3,2@32/64/64 .05 .2 .75"),
        mlp("3,2@64 .1 .9", "3,2@64 .3 .7", "5,3@32 .05 .95"),
        mlp("3,2@64 .1 .9", "3,2@64 .3 .7", "5,4@32 .05 .95"),
        mlp("4,3@128 .1 .9", "4,3@128 .25 .75", "8,4,3@32/128/128 .05 .1 .85"),
        mlp("4,3@32 .1 .9", "4,3@32 .25 .75", "8,4,3@32 .05 .1 .85"),
        mlp("4,3@32 .1 .9", "4,3@32 .25 .75", "8,4@32/128 .05 .95"),
        mlp("4@128 1", "4@32 1", "8,4@32/128 .05 .95"),
        mlp("4@32 1", "4@32 1", "8,4@32 .05 .95"),
        mlp("5,4@128 .1 .9", "5,4@128 .25 .75", "8,5,4@32/128/128 .05 .1 .85"),
        mlp("5,4@32 .1 .9", "5,4@32 .25 .75", "8,5,4@32 .05 .1 .85"),
        mlp("6,5@128 .1 .9", "6,5@128 .25 .75", "8,6,5@32/128/128 .05 .1 .85"),
        mlp("6,5@32 .1 .9", "6,5@32 .25 .75", "8,6,5@32 .05 .1 .85"),
        mlp("6@128 1", "6@128 1", "8,6@32/128 .05 .95"),
        mlp("8,6@128 .1 .9", "8,6@128 .1 .9", "8,6@128 .15 .85"),
        mlp("8,6@128 .1 .9", "8,6@128 .1 .9", "8@128 1"),
        mlp("8@128 1", "8@128 1", "8@128 1"),
    ]

    /// Options of the linear layers of an MLP; without a gate those of up and down.
    static func mlp(isGated: Bool) -> [[[EXL2Section]]] {
        isGated ? mlp : mlp.map { Array($0.dropFirst()) }
    }

    /// The same for all four projections of attention.
    private static func repeated(_ text: String) -> [[EXL2Section]] { row(text, value: text) }

    /// Query and key alike, the output as well unless it is named.
    private static func row(
        _ text: String, value: String, output: String? = nil
    ) -> [[EXL2Section]] {
        [text, text, value, output ?? text].map(sections)
    }

    private static func mlp(_ gate: String, _ up: String, _ down: String) -> [[EXL2Section]] {
        [gate, up, down].map(sections)
    }

    /// Reads `widths@group sizes shares`, a single group size for all widths.
    private static func sections(_ text: String) -> [EXL2Section] {
        let parts = text.split(separator: " ")
        let heads = parts[0].split(separator: "@")
        let widths = heads[0].split(separator: ",").compactMap { Int($0) }
        let sizes = heads[1].split(separator: "/").compactMap { Int($0) }
        let shares = parts.dropFirst().compactMap { Double("0" + $0) ?? Double($0) }
        precondition(
            widths.count == shares.count && (sizes.count == 1 || sizes.count == widths.count),
            "a row of the tables")
        return widths.indices.map {
            EXL2Section(
                bits: widths[$0], groupSize: sizes[sizes.count == 1 ? 0 : $0],
                proportion: shares[$0])
        }
    }
}
