#!/usr/bin/env python3
"""A local stand-in for the Canopy Connect REST API, over TLS with certificates made on the spot.

Writes DIR/ca.pem, and DIR/ready.json once it listens. Loopback only. Stops on SIGTERM or SIGINT.
"""

import argparse
import datetime
import json
import os
import pathlib
import signal
import threading

import catalogue
import certificates
import users
from control import Control
from entities import pull_id_of
from faults import Faults
from journal import Journal
from listeners import Listeners
from server import Api, Downloads
from state import State
from wire import Listener, plain, tls


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--dir", type=pathlib.Path, required=True, help="where ca.pem and ready.json are written")
    parser.add_argument("--port", type=int, default=0, help="API port, 0 = any free one")
    parser.add_argument("--control-port", type=int, default=0, help="control port, 0 = any free one")
    parser.add_argument("--download-port", type=int, default=0, help="port of signed URLs, 0 = any free one")
    parser.add_argument("--seed", type=int, default=1, help="other seed, other data")
    parser.add_argument("--today", type=datetime.date.fromisoformat, default=users.TODAY,
                        help="the date that user_good_flood_expiring and _expired are relative to")
    parser.add_argument("--client-id", default="sandbox-client", help="accepted client id")
    parser.add_argument("--client-secret", default="sandbox-secret", help="accepted client secret")
    parser.add_argument("--team-id", default="7e57ab1e-0000-4000-8000-000000000001", help="the team's id")
    return parser.parse_args()


def announce(settings, ports):
    """Writes ready.json in one step, so that whoever sees it sees all of it."""
    document = {
        "pid": os.getpid(), **ports,
        "base_url": f"https://localhost:{ports['port']}{catalogue.BASE_PATH}",
        "control_url": f"http://127.0.0.1:{ports['control_port']}",
        "ca_file": str(settings.dir.resolve() / "ca.pem"),
        "client_id": settings.client_id, "client_secret": settings.client_secret, "team_id": settings.team_id,
        "pulls": {username: pull_id_of(settings.seed, username) for username in users.RECIPES},
    }
    unfinished = settings.dir / "ready.json.new"
    unfinished.write_text(json.dumps(document, indent=1) + "\n")
    unfinished.replace(settings.dir / "ready.json")


def main():
    settings = read_arguments()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings.dir.mkdir(parents=True, exist_ok=True)
    (settings.dir / "ready.json").unlink(missing_ok=True)
    place = certificates.make(settings.dir)
    state, journal, armed = State(settings), Journal(), Faults()
    context = certificates.context(place)
    api_service = Api(state, journal, armed)
    listeners = Listeners(place, api_service)
    api = Listener(tls(api_service, context), settings.port)
    downloads = Listener(tls(Downloads(state, journal, armed), context), settings.download_port)
    control = Listener(plain(Control(state, journal, armed, listeners)), settings.control_port)
    settings.download_port = downloads.port
    for listener in (api, downloads, control):
        listener.start()
    announce(settings, {"port": api.port, "download_port": downloads.port, "control_port": control.port})
    while not stop.wait(3600):
        pass
    (settings.dir / "ready.json").unlink(missing_ok=True)
    for listener in (api, downloads, control):
        listener.stop()
    listeners.close_all()


if __name__ == "__main__":
    main()
