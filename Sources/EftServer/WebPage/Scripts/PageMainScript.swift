// SPDX-License-Identifier: Apache-2.0
// What the page does: the beginning.

/// The script that the page loads: it starts the parts in their order.
enum PageMainScript: PageScript {
    static let name = "main.js"
    static let text = #"""
        import { startComposer } from "./composer.js";
        import { startFiles } from "./files.js";
        import { startLayout } from "./layout.js";
        import { startLibrary } from "./library.js";
        import { startMessages } from "./messages.js";
        import { loadModels, startSettings } from "./settings.js";
        import { startShortcuts } from "./shortcuts.js";
        import { startSidebar } from "./sidebar.js";
        import { startStatus } from "./status.js";

        startLayout();
        startSettings();
        startStatus();
        startMessages();
        startSidebar();
        startFiles();
        startComposer();
        startShortcuts();
        loadModels();
        startLibrary();
        """#
}
