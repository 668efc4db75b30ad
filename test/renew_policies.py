#!/usr/bin/env python3
"""Moves the terms of a pull's policies in the sandbox by whole years, until today is in each of them.

    test/renew_policies.py CONTROL_URL PULL_ID
"""

import datetime
import json
import sys
import urllib.request

control_url, pull_id = sys.argv[1:]
url = f"{control_url}/pull/{pull_id}"
# Never by a proxy.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def later(moment):
    """The same moment of the next year."""
    return moment and f"{int(moment[:4]) + 1}{moment[4:]}".replace("-02-29", "-02-28")


pull = json.load(opener.open(url))
for policy in pull["policies"]:
    while policy["expiry_date"][:10] <= datetime.date.today().isoformat():
        for name in ("effective_date", "expiry_date", "renewal_date"):
            policy[name] = later(policy[name])
opener.open(urllib.request.Request(url, json.dumps(pull).encode(), method="PUT")).read()
