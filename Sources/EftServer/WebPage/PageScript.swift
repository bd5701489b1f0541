// SPDX-License-Identifier: Apache-2.0
// The scripts of the page.

/// A script of the page, a module of its own that imports the others it needs. All text from the server and from people is put
/// into the page as text, never as HTML.
protocol PageScript: Sendable {
    /// The file's name, at `page/` of the server.
    static var name: String { get }
    /// What the browser gets.
    static var text: String { get }
}

/// The scripts, each a file in `Scripts/`.
enum PageScripts {
    /// All scripts; a new one is a line here.
    static let all: [any PageScript.Type] = [
        PageAnswerScript.self,
        PageBlocksScript.self,
        PageComposerScript.self,
        PageConversationScript.self,
        PageDOMScript.self,
        PageFilesScript.self,
        PageInlineScript.self,
        PageLayoutScript.self,
        PageLibraryScript.self,
        PageMainScript.self,
        PageMarkdownScript.self,
        PageMessagesScript.self,
        PageRequestScript.self,
        PageServerScript.self,
        PageSettingsScript.self,
        PageShortcutsScript.self,
        PageSidebarScript.self,
        PageStateScript.self,
        PageStatusScript.self,
        PageStoreScript.self,
        PageTurnScript.self,
    ]

    /// The lines that have a browser fetch all scripts at once, before it knows which one imports which.
    static let preloads = all.map { "<link rel=\"modulepreload\" href=\"page/\($0.name)\">" }
        .joined(separator: "\n")
}
