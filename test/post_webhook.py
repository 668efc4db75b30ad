#!/usr/bin/env python3
"""Has the sandbox post one webhook to a receiver, shows the answer, and waits until what was stored is applied.

    test/post_webhook.py CONTROL_URL RECEIVER_URL SECRET COMPLETE
    test/post_webhook.py CONTROL_URL RECEIVER_URL SECRET a copy of COMPLETE
    test/post_webhook.py CONTROL_URL RECEIVER_URL SECRET a forged policy.lapsed
    test/post_webhook.py CONTROL_URL RECEIVER_URL SECRET policy.lapsed as of 20 days ago

A copy has the bytes and headers of the newest such webhook. The receiver's database is the one that psql finds.
"""

import datetime
import http.client
import json
import re
import subprocess
import sys
import time
import urllib.parse

SECONDS = 30


def ask(method, url, document=None):
    """(status, body) of one request; never by a proxy."""
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(place.netloc, timeout=SECONDS)
    connection.request(method, f"{place.path}?{place.query}", None if document is None else json.dumps(document))
    answer = connection.getresponse()
    return answer.status, answer.read()


def control(method, path, document=None):
    """The sandbox's answer."""
    status, body = ask(method, f"{control_url}/{path}", document)
    if status != 200:
        sys.exit(f"the sandbox refused {method} {path}: {status} {body.decode()}")
    return json.loads(body)


def wait_until(what, is_so):
    deadline = time.monotonic() + SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            sys.exit(f"timed out waiting until {what}")
        time.sleep(0.02)


def is_healthy():
    try:
        return ask("GET", f"{receiver_url}/healthz")[0] == 200
    except OSError:
        return False


def is_applied():
    count = "SELECT count(*) FROM canopy_summit.webhook WHERE state = 'stored'"
    return subprocess.run(("psql", "-XAtc", count), capture_output=True, text=True, check=True).stdout == "0\n"


def webhook(kind, event, days):
    """The request for a webhook of that kind, which tells now of what took effect so many days ago."""
    if kind == "a copy of":
        return {"replay_of": control("GET", f"webhook?event={event}&fields=number")["deliveries"][-1]["number"]}
    fields = {}
    if days is not None:
        moment = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=int(days))
        fields = {"data": {"policy": {event.replace("policy.", "") + "_at": moment.strftime("%Y-%m-%dT%H:%M:%SZ")},
                           "reason": {"code": "non_payment", "detail": "Premium not paid in time"}}}
    return {"event": event, "forged": kind == "a forged", "attempts": 1, "fields": fields}


control_url, receiver_url, secret, *words = sys.argv[1:]
kind, event, days = re.fullmatch(r"(?:(a copy of|a forged) )?(\S+)(?: as of (\d+) days ago)?", " ".join(words)).groups()
provider = "summit" if event.startswith("policy.") else "canopy"
url = f"{receiver_url}/webhooks/{provider}"

wait_until("the receiver is healthy", is_healthy)
control("PUT", "webhook/receiver", {"provider": provider, "url": url, "secret": secret})
number, = control("POST", "webhook", webhook(kind, event, days))["deliveries"]
wait_until("it is posted", lambda: control("GET", f"webhook/{number}")["state"] not in ("waiting", "sending"))
attempt, = control("GET", f"webhook/{number}")["log"]
wait_until("it is applied", is_applied)
print(f"The sandbox posts {' '.join(words)} to {url}: {attempt['error'] or attempt['status']} {attempt['answer'] or ''}".rstrip())
