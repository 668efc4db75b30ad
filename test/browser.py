#!/usr/bin/env python3
"""Connects an account on examples/connect.html as a person without a mouse would, in a browser of each width.

    test/browser.py CHROMEDRIVER_URL PAGE_URL CONTROL_URL RECEIVER_URL SECRET

Speaks the WebDriver protocol (W3C) over plain HTTP. Prints a line a check, and ends with status 1 at the first that fails.
"""

import http.client
import json
import sys
import time
import urllib.parse

SECONDS = 60
WIDTHS = (390, 1440)
HOSTILE = "'; SELECT 1/0; \\! exit :'pull' $$"
TAB, ENTER, ESCAPE, BACKSPACE = "\ue004", "\ue007", "\ue00c", "\ue003"


def ask(method, url, document=None):
    """The answer's JSON; never by a proxy."""
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(place.netloc, timeout=SECONDS)
    connection.request(method, f"{place.path}?{place.query}" if place.query else place.path,
                       None if document is None else json.dumps(document))
    answer = connection.getresponse()
    body = answer.read()
    if answer.status >= 300:
        sys.exit(f"{method} {url}: {answer.status} {body.decode(errors='replace')}")
    return json.loads(body)


def check(what, right):
    print(f"{'ok' if right else 'not ok'} - {what}", flush=True)
    if not right:
        sys.exit(1)


def wait_until(what, is_so):
    deadline = time.monotonic() + SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            check(what, False)
        time.sleep(0.05)
    check(what, True)


class Browser:
    """A headless Chromium."""

    def __init__(self, driver, width):
        options = {"args": ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"]}
        made = ask("POST", f"{driver}/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "acceptInsecureCerts": True, "goog:chromeOptions": options}}})
        self.session = f"{driver}/session/{made['value']['sessionId']}"
        self.post("goog/cdp/execute", cmd="Emulation.setDeviceMetricsOverride",
                  params={"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600})

    def post(self, path, **document):
        return ask("POST", f"{self.session}/{path}", document)["value"]

    def run(self, script):
        return self.post("execute/sync", script=f"return {script}", args=[])

    def press(self, text):
        """Presses keys one after the other, wherever the focus is."""
        keys = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self.post("actions", actions=[{"type": "key", "id": "keyboard", "actions": keys}])

    def focus(self):
        """What has the focus: its name, or its text."""
        return self.run("document.activeElement.name || document.activeElement.textContent.trim()")

    def progress(self):
        return self.run("document.getElementById('progress').textContent")

    def close(self):
        ask("DELETE", self.session)


class Sandbox:
    """The stand-in for Canopy, by its control port."""

    def __init__(self, control, receiver, secret):
        self.control = control
        self.to = {"url": f"{receiver}/webhooks/canopy", "secret": secret}

    def pulls(self):
        return {pull["pull_id"] for pull in ask("GET", f"{self.control}/pulls")["pulls"]}

    def metadata(self, pull_id):
        return ask("GET", f"{self.control}/pull/{pull_id}")["meta_data"]

    def tell(self, event, pull_id):
        ask("POST", f"{self.control}/webhook", {"event": event, "pull_id": pull_id, **self.to})


def is_within(browser):
    return browser.run("document.documentElement.scrollWidth <= window.innerWidth")


def opens(browser):
    """To the first field of the dialog, from wherever the focus is."""
    browser.press(TAB)
    check("the first stop is the button", browser.focus() == "Connect")
    browser.press(ENTER)
    wait_until("it opens a dialog with the focus in it", lambda: browser.focus() == "username")


def connect(browser, page, sandbox):
    check("nothing is wider than the window", is_within(browser))
    opens(browser)
    check("nor is the dialog", is_within(browser))
    browser.press(ESCAPE)
    wait_until("one can leave it", lambda: browser.progress() == "You can connect whenever you like.")

    browser.post("url", url=page)
    opens(browser)
    before = sandbox.pulls()
    browser.press("user_good" + TAB + "wrong" + ENTER)
    wait_until("a wrong password is said", lambda: browser.run("document.querySelector('[role=alert]').textContent") != "")
    wait_until("where one can try again", lambda: browser.focus() == "password")
    refused = sandbox.pulls()
    browser.press(BACKSPACE * len("wrong") + "pass_good" + ENTER)
    wait_until("a login is shown, and followed", lambda: browser.progress() == "wait")
    check("the dialog is gone", not browser.run("document.querySelector('dialog').open"))
    check("another cannot begin meanwhile", browser.run("document.getElementById('connect').disabled"))
    (pull_id,) = sandbox.pulls() - before - refused
    check("the pull has the page's metadata", sandbox.metadata(pull_id) == '{"lead_id":"L-42"}')
    for event, step in (("POLICIES_AVAILABLE", "wait for the documents"), ("COMPLETE", "none: it is complete")):
        sandbox.tell(event, pull_id)
        wait_until(f"{event} is shown", lambda: browser.progress() == step)
    check("it is said to those who do not see it", browser.run("document.getElementById('progress').role") == "status")
    check("another account may follow", not browser.run("document.getElementById('connect').disabled"))


def check_server(page):
    """What the page's server answers to what no page asks."""
    told = ask("GET", f"{page}progress?pull={urllib.parse.quote(HOSTILE)}")
    check("a strange pull_id is a pull that is not there", told == {"next_step": "wait", "is_final": False})
    for path in ("progress", "progress?pull=", "progress?pull=%00", "connect.py", "../connect.py"):
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(page).netloc, timeout=SECONDS)
        connection.request("GET", f"/{path}")
        check(f"nothing is at /{path}", connection.getresponse().status == 404)


def main():
    driver, page, control, receiver, secret = sys.argv[1:]
    check_server(page)
    for width in WIDTHS:
        print(f"# {width} pixels")
        browser = Browser(driver, width)
        try:
            browser.post("url", url=page)
            check("the window is so wide", browser.run("window.innerWidth") == width)
            connect(browser, page, Sandbox(control, receiver, secret))
        finally:
            browser.close()


if __name__ == "__main__":
    main()
