"""Print signed webhooks of Canopy's, each different, as raw HTTP requests for receiver.lua.

Arguments: how many, the secret, the first number, bytes of a body at least.
"""
import hashlib
import hmac
import json
import sys
import time

count, secret, first, size = int(sys.argv[1]), sys.argv[2].encode(), int(sys.argv[3]), int(sys.argv[4])
now = str(int(time.time())).encode()
for number in range(first, first + count):
    data = {"event_type": "AUTH_STATUS", "pull_id": f"bench-{number}", "sequence": 1, "data": {"status": "PROCESSING", "filler": ""}}
    data["data"]["filler"] = "x" * max(0, size - len(json.dumps(data)))
    body = json.dumps(data).encode()
    digest = hmac.new(secret, now + b"." + body, hashlib.sha256).hexdigest().encode()
    request = (b"POST /webhooks/canopy HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
               b"User-Agent: bench\r\ncanopy-signature: t=" + now + b",s=" + digest +
               b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body)
    sys.stdout.buffer.write(str(len(request)).encode() + b"\n" + request)
