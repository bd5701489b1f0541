// SPDX-License-Identifier: Apache-2.0
// The text of the page's panel and of the list of keys.

/// The column with the server's state and the settings, and the overlay of keyboard shortcuts.
enum PagePanelHTML {
    static let text = #"""
        <details class="card" open>
          <summary><h2>Memory</h2> <output id="fit"></output></summary>
          <div id="bar" class="bar" role="img" aria-label="Planned memory by purpose"></div>
          <div class="bar thin" role="img" aria-label="Memory that is held now"><i id="held"></i></div>
          <ul id="parts" class="parts"></ul>
          <dl class="pairs sum">
            <dt>Planned</dt><dd id="planned">–</dd>
            <dt><i class="dot now"></i>Held now</dt><dd id="resident">–</dd>
            <dt>Limit</dt><dd id="limit">–</dd>
          </dl>
        </details>
        <details class="card" open>
          <summary><h2>Engine</h2> <output id="state"></output></summary>
          <div class="speed"><strong id="speed">0</strong> <span>tokens/s</span>
            <svg viewBox="0 0 120 32" preserveAspectRatio="none" role="img"
              aria-label="Tokens per second over the last minute">
              <polyline id="curve" points=""></polyline></svg></div>
          <div class="labelled"><span>KV cache</span><output id="cache">–</output></div>
          <div class="bar thin" role="img" aria-label="Use of the KV cache"><i id="pages"></i></div>
          <dl class="pairs">
            <dt>Running requests</dt><dd id="running">–</dd>
            <dt>Waiting requests</dt><dd id="waiting">–</dd>
            <dt>Tokens in the cache</dt><dd id="tokens">–</dd>
            <dt>Tokens generated</dt><dd id="generated">–</dd>
            <dt>Context length</dt><dd id="context">–</dd>
          </dl>
        </details>
        <details class="card" open>
          <summary><h2>Conversation</h2></summary>
          <label class="stacked" for="system">System prompt
            <textarea id="system" rows="3" placeholder="none"></textarea></label>
          <button id="default" type="button" class="plain" hidden>Use for new conversations</button>
        </details>
        <details class="card" open>
          <summary><h2>Sampling</h2></summary>
          <form id="settings" class="settings" autocomplete="off">
            <label>Temperature
              <input name="temperature" type="number" min="0" max="2" step="any"></label>
            <label>Max tokens
              <input name="max_tokens" type="number" min="1" step="1"></label>
            <label>Top-p
              <input name="top_p" type="number" min="0" max="1" step="any"></label>
            <label>Top-k
              <input name="top_k" type="number" min="-1" step="1"></label>
            <label>Min-p
              <input name="min_p" type="number" min="0" max="1" step="any"></label>
            <label>Seed
              <input name="seed" type="number" step="1"></label>
            <label id="plain" class="wide" hidden>Form of the transcript (no chat template)
              <select name="transcript">
                <option value="answers">Question and Answer</option>
                <option value="speakers">User and Assistant</option>
                <option value="alpaca">Alpaca instructions</option>
                <option value="bare">only what I type</option>
              </select></label>
          </form>
          <p class="hint">An empty field has the value that it shows in grey.
            <button id="reset" type="button" class="plain">Reset</button></p>
        </details>
        <details class="card" open>
          <summary><h2>Access</h2></summary>
          <label class="stacked" for="key">API key
            <input id="key" type="password" placeholder="none" autocomplete="off"
              spellcheck="false"></label>
          <p class="hint">The key is forgotten when this tab is closed.</p>
        </details>
        <p class="hint foot"><span id="version">eft</span> ·
          <a href="openapi.json" id="document">openapi.json</a></p>
        """#

    /// The keyboard shortcuts.
    static let keys = #"""
        <dialog id="keys" class="keys" aria-labelledby="keys-title">
          <form method="dialog">
            <h2 id="keys-title">Keyboard shortcuts</h2>
            <dl>
              <dt>Send the message</dt><dd><kbd>Enter</kbd></dd>
              <dt>New line</dt><dd><kbd>Shift</kbd> <kbd>Enter</kbd></dd>
              <dt>Edit the last message (from an empty box)</dt><dd><kbd>↑</kbd></dd>
              <dt>Stop generating, or close</dt><dd><kbd>Esc</kbd></dd>
              <dt>New chat</dt><dd><kbd>Ctrl</kbd> <kbd>Shift</kbd> <kbd>O</kbd></dd>
              <dt>Go to the message box</dt><dd><kbd>/</kbd></dd>
              <dt>This list</dt><dd><kbd>?</kbd></dd>
            </dl>
            <button class="main">Close</button>
          </form>
        </dialog>
        """#
}
