#!/usr/bin/env python3
"""Makes files that a web server can give as the API would: pulls from standard input, one a line, their listing, a PDF.

backfill_files.py DIRECTORY PDF_BYTES"""

import json
import os
import sys

PAGE = 100  # as canopy_sync_pulls() asks, whose pages share the last SHARED with the next
SHARED = 5


def write(directory, name, content):
    path = os.path.join(directory, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


def main():
    directory, size = sys.argv[1], int(sys.argv[2])
    listed = []
    for line in sys.stdin.buffer:
        pull = json.loads(line)
        listed.append({"pull_id": pull["pull_id"], "status": pull["status"], "type": pull.get("type")})
        write(directory, f"pulls/{pull['pull_id']}", b'{"success": true, "pull": ' + line.strip() + b"}")
    for offset in range(0, len(listed), PAGE - SHARED):
        page = listed[offset:offset + PAGE]
        write(directory, f"lists/{offset}", json.dumps({"success": True, "pulls": page}).encode())
    write(directory, "document.pdf", b"%PDF-1.4\n" + os.urandom(size - 16) + b"\n%%EOF\n")


if __name__ == "__main__":
    main()
