#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page that the server shows, used in a headless Chromium as a person would.

usage: web_page.py PROGRAM [FOLDER FOR PICTURES]

Needs Debian's chromium. Sends messages, waits for their answers, regenerates, edits and stops them, comes back to them
after a reload, and looks at the numbers beside them: on a desk, in the dark, on a phone, and on a server that asks for
a key.
"""

import json
import os
import shutil
import sys

from playwright.sync_api import expect, sync_playwright
from server import Checks, serving

QUESTION = "Who likes mushroom stew?"
SCREENS = [("desk", "light", 1280, 800), ("dark", "dark", 1280, 800), ("phone", "light", 375, 700)]
checks = Checks()


class Page:
    """The page in a browser of its own, with everything that goes wrong in it."""

    def __init__(self, browser, url, scheme="light", width=1280, height=800):
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme)
        self.page = context.new_page()
        self.page.set_default_timeout(60_000)
        self.complaints, self.elsewhere = [], []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self.complaints.append(message.text)
                     if message.type == "error" else None)
        self.page.on("request", lambda request: self.elsewhere.append(request.url)
                     if not request.url.startswith((url, "data:")) else None)
        self.page.goto(url)

    def text(self, selector):
        return self.page.locator(selector).last.inner_text()

    def say(self, text):
        self.page.fill("#text", text)
        self.page.press("#text", "Enter")

    def settle(self, **settings):
        """Puts values in the fields of the settings."""
        self.page.evaluate(
            "values => Object.entries(values).forEach(([name, value]) =>"
            " { document.forms.settings.elements[name].value = value; })", settings)

    def system(self, text):
        """Types the conversation's system prompt, wherever its field is folded away."""
        self.page.evaluate(
            "text => { const box = document.getElementById('system'); box.value = text;"
            " box.dispatchEvent(new Event('input', {bubbles: true})); }", text)

    def wait_for_answer(self, count, timeout=60_000):
        """Until so many answers have their line of numbers."""
        expect(self.page.locator(".turn.assistant .foot")).to_have_count(count, timeout=timeout)


def chats(browser, server, pictures):
    """Messages and answers on all kinds of screens."""
    for name, scheme, width, height in SCREENS:
        page = Page(browser, server.url + "/", scheme, width, height)
        expect(page.page.locator("#planned")).to_contain_text("MiB", timeout=60_000)
        page.settle(temperature=0)
        page.say(QUESTION)
        page.wait_for_answer(1)
        answer = page.text(".turn.assistant .text")
        checks.that("mushroom stew" in answer, f"{name}: {QUESTION} {answer}")
        page.say(QUESTION)
        page.wait_for_answer(2)
        checks.that(page.page.locator(".turn.user").count() == 2, f"{name}: both questions are shown")
        page.page.locator(".again").last.click()
        page.wait_for_answer(2)
        checks.that(page.page.locator(".turn").count() == 4, f"{name}: an answer can be regenerated")
        checks.that("2/2" in page.text(".turn.assistant .foot"), f"{name}: the first one is kept beside it")
        page.page.wait_for_timeout(500)
        page.page.reload()
        page.wait_for_answer(2)
        checks.that(page.page.locator(".turn").count() == 4, f"{name}: a reload loses nothing")
        checks.that(page.page.locator(".entry").count() == 1, f"{name}: the conversation is listed")
        wide = page.page.evaluate("document.documentElement.scrollWidth")
        checks.that(wide <= width, f"{name}: nothing is wider than the screen")
        page.page.wait_for_timeout(1200)
        page.page.screenshot(path=os.path.join(pictures, f"{name}.png"))
        if name == "phone":
            for column in ["panel", "menu"]:
                page.page.click("#" + column)
                page.page.screenshot(path=os.path.join(pictures, f"phone-{column}.png"))
        generated = page.page.locator("#generated").text_content()
        checks.that(int(generated.replace(",", "")) > 0, f"{name}: {generated} tokens are counted")
        checks.that(page.page.locator("#parts li").count() >= 4, f"{name}: memory is shown by purpose")
        checks.that(not page.elsewhere, f"{name}: nothing is loaded from elsewhere {page.elsewhere}")
        checks.that(not page.complaints, f"{name}: no complaints {page.complaints}")


def markup(browser, server):
    """Text is shown as text, and an answer can be stopped."""
    page = Page(browser, server.url + "/")
    page.settle(transcript="bare", max_tokens=400)
    evil = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"
    page.say(evil)
    page.wait_for_answer(1)
    checks.that(page.text(".turn.user .text") == evil, "markup is shown as it was typed")
    checks.that(page.page.title().endswith("Eft") and page.page.locator(".turn img").count() == 0,
                "markup does nothing")
    page.page.click("#conversations .fresh")
    checks.that(page.page.locator(".turn").count() == 0, "a new chat is empty")

    # Held back, so that the answer is still on its way when it is stopped.
    page.page.route("**/v1/*completions", lambda route: None)
    page.say(QUESTION)
    page.page.click("#stop")
    page.wait_for_answer(1)
    checks.that("stopped" in page.text(".turn.assistant .foot"), "an answer can be stopped")
    checks.that(page.page.locator("#send").is_visible(), "and another be asked for")


def tabs(browser, server):
    """Two tabs of one browser see the same conversations."""
    page = Page(browser, server.url + "/")
    other = page.page.context.new_page()
    other.goto(server.url + "/")
    page.say(QUESTION)
    page.wait_for_answer(1)
    other.locator(".entry .open").click()
    expect(other.locator(".turn")).to_have_count(2)
    page.say("And who else?")
    page.wait_for_answer(2)
    expect(other.locator(".turn")).to_have_count(4)
    page.page.locator(".entry").hover()
    page.page.locator(".entry .delete").click()
    expect(other.locator(".entry, .turn")).to_have_count(0)
    checks.that(not page.complaints, f"two tabs agree {page.complaints}")


def keys(browser, program, pictures):
    """A server with a key."""
    with serving(program, "--memory", "256MiB", "--api-key", "secret") as server:
        page = Page(browser, server.url + "/")
        page.page.locator("#notice").filter(has_text="API key").wait_for()
        page.page.screenshot(path=os.path.join(pictures, "key.png"))
        page.page.fill("#key", "secret")
        page.page.press("#key", "Tab")
        expect(page.page.locator("#model")).to_have_value("demo", timeout=60_000)
        page.say(QUESTION)
        page.wait_for_answer(1)
        checks.that("mushroom stew" in page.text(".turn.assistant .text"), "with the key there is an answer")
        stored = page.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
        forever, tab = json.loads(stored)
        checks.that("secret" not in json.dumps(forever) and tab.get("eft.key") == "secret",
                    "the key is kept for this tab only")


def main(program, pictures):
    os.makedirs(pictures, exist_ok=True)
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("there is no chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        with serving(program, "--memory", "256MiB") as server:
            chats(browser, server, pictures)
            markup(browser, server)
            tabs(browser, server)
        keys(browser, program, pictures)
        browser.close()
    sys.exit(checks.close())


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(os.path.abspath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "build/web-page")
