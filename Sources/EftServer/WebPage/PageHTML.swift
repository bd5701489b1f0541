// SPDX-License-Identifier: Apache-2.0
// The page's text.

/// The page without its style and its scripts, which are files of their own.
enum PageHTML {
    static let text = #"""
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1, interactive-widget=resizes-content">
        <meta name="color-scheme" content="light dark">
        <title>Eft</title>
        <link rel="icon" href="data:image/png;base64,\#(icon)">
        <link rel="stylesheet" href="page.css">
        \#(PageScripts.preloads)
        <script type="module" src="page/main.js"></script>
        </head>
        <body>
        <header>
          <button id="menu" type="button" class="icon" aria-label="Conversations" title="Conversations"
            aria-expanded="false" aria-controls="conversations">\#(PageIcons.inline("menu"))</button>
          <h1>eft</h1>
          <label class="model"><span class="unseen">Model</span><select id="model"></select></label>
          <span class="grow"></span>
          <span id="brief" class="brief" title="Memory held, of the limit"></span>
          <button id="fresh" type="button" class="icon fresh" aria-label="New chat"
            title="New chat (Ctrl+Shift+O)">\#(PageIcons.inline("new"))</button>
          <button id="help" type="button" class="icon" aria-label="Keyboard shortcuts"
            title="Keyboard shortcuts (?)">\#(PageIcons.inline("keys"))</button>
          <button id="panel" type="button" class="icon" aria-label="Server and settings"
            title="Server and settings" aria-expanded="false"
            aria-controls="side">\#(PageIcons.inline("settings"))</button>
        </header>
        <main>
          <nav id="conversations" class="conversations" aria-label="Conversations" hidden>
            <button type="button" class="fresh wide">\#(PageIcons.inline("new")) New chat</button>
            <ul id="list" class="list"></ul>
            <p id="none" class="hint">Conversations are kept in this browser and listed here.</p>
            <p id="lasting" class="hint" hidden>This browser stores nothing for this page, so
              conversations are lost when the tab is closed.</p>
          </nav>
          <section class="chat" aria-label="Chat">
            <div id="log" class="log" role="log" aria-live="off" aria-label="Messages" tabindex="0">
              <div id="empty" class="empty">
                <h2>What would you like to know?</h2>
                <p>Answers are generated on this server, in the memory that it was given.</p>
              </div>
            </div>
            <form id="ask" class="ask">
              <p id="notice" class="notice" role="status" hidden></p>
              <div class="box">
                <div id="files" class="files" hidden></div>
                <textarea id="text" rows="1" placeholder="Message" aria-label="Message"
                  enterkeyhint="send" autofocus></textarea>
                <div class="tools">
                  <button id="attach" type="button" class="icon" aria-label="Add text files"
                    title="Add text files">\#(PageIcons.inline("attach"))</button>
                  <input id="chooser" type="file" multiple hidden aria-label="Text files">
                  <span class="grow"></span>
                  <button id="send" type="submit" class="round" aria-label="Send"
                    title="Send (Enter)">\#(PageIcons.inline("send"))</button>
                  <button id="stop" type="button" class="round stop" aria-label="Stop"
                    title="Stop (Esc)" hidden>\#(PageIcons.inline("stop"))</button>
                </div>
              </div>
            </form>
          </section>
          <aside id="side" class="side" aria-label="Server and settings" hidden>
            \#(PagePanelHTML.text)
          </aside>
        </main>
        <div id="drop" class="drop" hidden><p>Drop text files to add them to the message</p></div>
        <div id="announcement" class="unseen" role="status"></div>
        \#(PagePanelHTML.keys)
        <template id="icons">
        \#(PageIcons.template)
        </template>
        </body>
        </html>
        """#

    /// A small picture for the browser's tab, as base64 of a PNG.
    private static let icon =
        "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAYAAABzenr0AAABPklEQVR42mNgQAP8XXn6QDwfiO8D8X8q"
        + "4ftQM/UZcAGgJD8Q91PRUlwYZAc/NsvP08FyGD6P4gg6+RwjJJDj/P8AYX0GaOIYKAfMZyA1tWduXfJ/"
        + "y62L/x9+ePMfBkBskBhIjtTcwUCs4qh1s1EsxQVAakBqiTWXKAcsvXziP6kApIcqDiDHclIcwUAo2LGB"
        + "aaf3/7eZ3wlXB2KDxLABQtGB1wHocf7h+1cUi9ExSA6kBj1NkOUAUIpGB/gsR3YEOsCXO3A6AJSt0IOd"
        + "2JSNHh0gs0h2AHrwX3r5+P/hh7eIwiC1xEYDTgdQGwyoA7yXT6JvFKBjsnIBJYmQFEz1bKg7o4E6DqCk"
        + "IAKFntzEcsodQElRDHI8MSFG08qImHQz+KtjejRIBrxJNuCN0oFtlg94x2RQdM0GvHM6kN1zAEESfpHe"
        + "V/LkAAAAAElFTkSuQmCC"
}
