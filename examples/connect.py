#!/usr/bin/env python3
"""connect.py [PORT] - serve connect.html at http://127.0.0.1:8000/, and how far a pull is at /progress?pull=<pull_id>.

psql asks the database that PGHOST, PGDATABASE and so on name, as a role with level reader."""

import http.server
import pathlib
import subprocess
import sys
import urllib.parse

PROGRESS = """SELECT json_build_object('next_step', coalesce(max(next_step), 'wait'), 'is_final', coalesce(bool_or(is_final), false))
    FROM canopy.pull_status WHERE pull_id = :'pull';"""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        pull = urllib.parse.parse_qs(url.query).get("pull", [""])[0]
        if url.path == "/":
            self.answer(200, "text/html; charset=utf-8", pathlib.Path(__file__).with_name("connect.html").read_bytes())
        elif url.path == "/progress" and pull and "\0" not in pull:
            psql = subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-v", "pull=" + pull], input=PROGRESS.encode(), stdout=subprocess.PIPE)
            self.answer(503 if psql.returncode else 200, "application/json", psql.stdout)
        else:
            self.answer(404, "text/plain", b"")

    def answer(self, status, media_type, body):
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8000), Handler).serve_forever()
