#!/usr/bin/env python3
"""Sends signed webhooks to a receiver, to try it by hand, and shows what it answers.

    python3 test/sandbox/send.py --url http://127.0.0.1:8080/webhooks/summit --provider summit \\
        --secret-file secret policy.submitted policy.verified

An EVENT is a type, or a type and a variant such as AUTH_STATUS:IDENTITY_VERIFICATION or
policy.lapsed:example. Each is sent once; the exit status says whether all were delivered.
"""

import argparse
import base64
import json
import pathlib
import sys
import time

from webhook import canopy_events, retries, summit_events
from webhook.lifecycle import Imagination
from webhook.sender import Sender
from webhook.webhooks import Webhooks


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog=f"Canopy's events: {', '.join(canopy_events.EVENTS)}. "
                                            f"Summit's: {', '.join(summit_events.EVENTS)}.")
    parser.add_argument("--url", required=True, help="where the receiver listens")
    parser.add_argument("--provider", required=True, choices=retries.POLICIES, help="whose webhooks to send")
    parser.add_argument("--secret-file", required=True, type=pathlib.Path, help="one secret on each line")
    parser.add_argument("--ca-file", default="system", help="the CA of an https receiver, if not one of the machine's")
    parser.add_argument("--pull-id", help="the pull that Canopy's events are about")
    parser.add_argument("--policy-number", help="the policy that Summit's events are about")
    parser.add_argument("--fields", type=json.loads, default={}, help="JSON to merge into each body")
    parser.add_argument("--body-file", type=pathlib.Path, help="send these bytes instead of an event")
    parser.add_argument("--copies", type=int, default=1, help="how many of each")
    parser.add_argument("--time-offset", type=int, default=0, help="seconds that the signature's time is off")
    parser.add_argument("--forged", action="store_true", help="sign with a wrong secret")
    parser.add_argument("--seed", type=int, default=time.time_ns(), help="for the ids; by default new ones each time")
    parser.add_argument("event", nargs="*", metavar="EVENT")
    arguments = parser.parse_args()
    if bool(arguments.event) == bool(arguments.body_file):
        parser.error("give EVENT or --body-file")
    return arguments


def specs(arguments):
    """The request that the sandbox would get on its control port."""
    common = {"url": arguments.url, "provider": arguments.provider, "secrets": arguments.secret_file.read_text().split("\n"),
              "ca_file": arguments.ca_file, "pull_id": arguments.pull_id, "policy_number": arguments.policy_number,
              "fields": arguments.fields, "copies": arguments.copies, "time_offset": arguments.time_offset,
              "forged": arguments.forged, "attempts": 1}
    common["secrets"] = [secret for secret in common["secrets"] if secret]
    if arguments.body_file:
        content = base64.b64encode(arguments.body_file.read_bytes()).decode()
        return {**common, "webhooks": [{"body": {"base64": content}}]}
    return {**common, "webhooks": [{"event": event} for event in arguments.event]}


def main():
    arguments = read_arguments()
    sender = Sender(arguments.seed)
    sender.change_settings({"connections": 1})
    webhooks = Webhooks(arguments.seed, sender, Imagination(1), loopback_only=False)
    try:
        numbers = webhooks.post(specs(arguments))
    except (ValueError, KeyError, OSError) as error:
        sys.exit(f"send.py: {error}")
    while sum(sender.counts()[state] for state in ("waiting", "sending")):
        time.sleep(0.01)
    for row in sender.log():
        seconds = row["finished"] - row["started"]
        print(f"{row['event'] or 'body'}: {row['error'] or row['status']} in {seconds:.3f} s: {row['answer'] or ''}".rstrip(": "))
    return 0 if sender.counts()["delivered"] == len(numbers) else 1


if __name__ == "__main__":
    sys.exit(main())
