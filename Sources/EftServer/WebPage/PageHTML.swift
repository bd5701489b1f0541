// SPDX-License-Identifier: Apache-2.0
// The page's text.

/// The page without its style and its script, which are files of their own.
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
        <script type="module" src="page.js"></script>
        </head>
        <body>
        <header>
          <h1>eft</h1>
          <label class="model"><span class="unseen">Model</span><select id="model"></select></label>
          <span class="grow"></span>
          <span id="brief" class="brief" title="Memory held, of the limit"></span>
          <button id="fresh" type="button">New chat</button>
          <button id="panel" type="button" class="narrow" aria-expanded="false"
            aria-controls="side">Panel</button>
        </header>
        <main>
          <section class="chat" aria-label="Chat">
            <div id="log" class="log" role="log" aria-live="polite" tabindex="0">
              <div id="empty" class="empty">
                <h2>What would you like to know?</h2>
                <p>Answers are made on this server, in the memory that it was given.</p>
              </div>
            </div>
            <form id="ask" class="ask">
              <p id="notice" class="notice" role="status" hidden></p>
              <div class="box">
                <textarea id="text" rows="1" placeholder="Message" aria-label="Message"
                  enterkeyhint="send" autofocus></textarea>
                <button id="send" type="submit" class="main">Send</button>
                <button id="stop" type="button" class="main stop" hidden>Stop</button>
              </div>
            </form>
          </section>
          <aside id="side" aria-label="Server and settings">
            <section class="card">
              <h2>Memory <output id="fit"></output></h2>
              <div id="bar" class="bar" role="img" aria-label="Planned memory by purpose"></div>
              <div class="bar thin" role="img" aria-label="Memory that is held now">
                <i id="held"></i></div>
              <ul id="parts" class="parts"></ul>
              <dl class="pairs sum">
                <dt>Planned</dt><dd id="planned">–</dd>
                <dt><i class="dot now"></i>Held now</dt><dd id="resident">–</dd>
                <dt>Limit</dt><dd id="limit">–</dd>
              </dl>
            </section>
            <section class="card">
              <h2>Engine <output id="state"></output></h2>
              <div class="speed"><strong id="speed">0</strong> <span>tokens/s</span>
                <svg viewBox="0 0 120 32" preserveAspectRatio="none" role="img"
                  aria-label="Tokens a second over the last minute">
                  <polyline id="curve" points=""></polyline></svg></div>
              <div class="labelled"><span>KV cache</span><output id="cache">–</output></div>
              <div class="bar thin" role="img" aria-label="Use of the KV cache"><i id="pages"></i></div>
              <dl class="pairs">
                <dt>Running</dt><dd id="running">–</dd>
                <dt>Waiting</dt><dd id="waiting">–</dd>
                <dt>Tokens in the cache</dt><dd id="tokens">–</dd>
                <dt>Generated in all</dt><dd id="generated">–</dd>
                <dt>Context</dt><dd id="context">–</dd>
              </dl>
            </section>
            <section class="card">
              <h2>Settings</h2>
              <form id="settings" class="settings" autocomplete="off">
                <label class="wide">System prompt
                  <textarea name="system" rows="2"></textarea></label>
                <label>Temperature
                  <input name="temperature" type="number" min="0" max="2" step="any"
                    placeholder="model's"></label>
                <label>Most tokens
                  <input name="max_tokens" type="number" min="1" step="1" placeholder="512"></label>
                <label>Top p
                  <input name="top_p" type="number" min="0" max="1" step="any"
                    placeholder="model's"></label>
                <label>Top k
                  <input name="top_k" type="number" min="-1" step="1" placeholder="model's"></label>
                <label>Min p
                  <input name="min_p" type="number" min="0" max="1" step="any"
                    placeholder="model's"></label>
                <label>Seed
                  <input name="seed" type="number" step="1" placeholder="random"></label>
                <label id="plain" class="wide" hidden>Without a chat template, write
                  <select name="transcript">
                    <option value="answers">Question and Answer</option>
                    <option value="speakers">User and Assistant</option>
                    <option value="alpaca">Alpaca instructions</option>
                    <option value="bare">only what I type</option>
                  </select></label>
                <label class="wide">API key
                  <input id="key" type="password" placeholder="none"
                    autocomplete="off" spellcheck="false"></label>
              </form>
              <p class="hint">Empty fields leave the choice to the server. The key is forgotten
                when this tab is closed.</p>
            </section>
            <p class="hint foot"><span id="version">eft</span> ·
              <a href="openapi.json" id="document">openapi.json</a></p>
          </aside>
        </main>
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
