// SPDX-License-Identifier: Apache-2.0
// The page's icons.

/// Line drawings of 20 by 20 points in the colour of the text around them.
enum PageIcons {
    /// The icons as one element each, for scripts to copy from a template.
    static let template = shapes.map { drawn($0.name, $0.shape, id: " id=\"icon-\($0.name)\"") }
        .joined(separator: "\n")

    /// An icon in the page's text.
    static func inline(_ name: String) -> String {
        drawn(name, shapes.first { $0.name == name }?.shape ?? "", id: "")
    }

    private static func drawn(_ name: String, _ shape: String, id: String) -> String {
        "<svg\(id) class=\"picture\" viewBox=\"0 0 20 20\" aria-hidden=\"true\">\(shape)</svg>"
    }

    private static let shapes: [(name: String, shape: String)] = [
        ("menu", #"<rect x="2.5" y="3.5" width="15" height="13" rx="2.5"/><path d="M8 3.5v13"/>"#),
        (
            "new",
            #"<path d="M16.5 10.5v4a2 2 0 0 1-2 2h-9a2 2 0 0 1-2-2v-9a2 2 0 0 1 2-2h4M9 11l.5-2.5 6-6 2 2-6 6z"/>"#
        ),
        (
            "keys",
            #"<rect x="2" y="5" width="16" height="10.5" rx="2"/>"#
                + #"<path d="M5 8.2h.1M8.3 8.2h.1M11.6 8.2h.1M15 8.2h.1M5 12.2h.1M8 12.2h4M15 12.2h.1"/>"#
        ),
        (
            "settings",
            #"<path d="M3 6h6M13 6h4M3 14h3M10 14h7"/>"#
                + #"<circle cx="11" cy="6" r="2"/><circle cx="8" cy="14" r="2"/>"#
        ),
        (
            "attach",
            #"<path d="M15.5 9.5l-5.8 5.8a3.3 3.3 0 0 1-4.7-4.7l6.2-6.2a2.2 2.2 0 0 1 3.1 3.1l-6.1 6.1a1.1 1.1 0 0 1-1.6-1.6l5.2-5.2"/>"#
        ),
        ("send", #"<path d="M10 16V4.5M5 9.5l5-5 5 5"/>"#),
        ("stop", #"<rect x="5.5" y="5.5" width="9" height="9" rx="1.5" fill="currentColor"/>"#),
        (
            "copy",
            #"<rect x="7" y="7" width="9.5" height="9.5" rx="2"/><path d="M13 7V5.5a2 2 0 0 0-2-2H5.5a2 2 0 0 0-2 2V11a2 2 0 0 0 2 2H7"/>"#
        ),
        ("check", #"<path d="M4 10.5l4 4 8-9"/>"#),
        ("close", #"<path d="M5 5l10 10M15 5L5 15"/>"#),
        ("edit", #"<path d="M12 5l3 3-8.5 8.5h-3v-3zM14 3l3 3"/>"#),
        ("again", #"<path d="M16 10a6 6 0 1 1-1.8-4.3L16 7.5M16 3.5v4h-4"/>"#),
        (
            "trash",
            #"<path d="M3.5 5.5h13M8 5.5v-2h4v2M5.5 5.5l.7 11h7.6l.7-11M8.5 8.5v5M11.5 8.5v5"/>"#
        ),
        ("left", #"<path d="M12 5l-5 5 5 5"/>"#),
        ("right", #"<path d="M8 5l5 5-5 5"/>"#),
        ("file", #"<path d="M5 3h6.5L15 6.5V17H5zM11.5 3v3.5H15"/>"#),
    ]
}
