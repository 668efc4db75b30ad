#!/usr/bin/env python3
"""A local stand-in for the Canopy Connect REST API and for Summit's, over TLS with certificates made on the spot.

Writes DIR/ca.pem, and DIR/ready.json once it listens. Loopback only. Stops on SIGTERM or SIGINT.
"""

import argparse
import datetime
import json
import os
import pathlib
import signal
import threading

from canopy.server import Api, Downloads
from canopy.state import State
from control.control import Control
from control.summit_control import SummitControl
from control.webhook_control import WebhookControl
from data import catalogue
from data import users
from data.entities import pull_id_of
from net import certificates
from net.effects import Effects
from net.faults import Faults
from net.journal import Journal
from net.listeners import Listeners
from net.wire import Listener, plain, tls
from summit import oauth
from summit.summit import Summit
from summit.uploads import Uploads
from webhook.lifecycle import Lifecycle

# The setting, and the name in ready.json, of each service's port.
PORTS = {"api": "port", "download": "download_port", "summit": "summit_port", "summit_auth": "summit_auth_port"}


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--dir", type=pathlib.Path, required=True, help="where ca.pem and ready.json are written")
    parser.add_argument("--port", type=int, default=0, help="API port, 0 = any free one")
    parser.add_argument("--control-port", type=int, default=0, help="control port, 0 = any free one")
    parser.add_argument("--download-port", type=int, default=0, help="port of signed URLs, 0 = any free one")
    parser.add_argument("--summit-port", type=int, default=0, help="port of Summit's API, 0 = any free one")
    parser.add_argument("--summit-auth-port", type=int, default=0, help="port of Summit's token endpoint, 0 = any free one")
    parser.add_argument("--seed", type=int, default=1, help="other seed, other data")
    parser.add_argument("--today", type=datetime.date.fromisoformat, default=users.TODAY,
                        help="the date that user_good_flood_expiring and _expired are relative to")
    parser.add_argument("--client-id", default="sandbox-client", help="accepted client id")
    parser.add_argument("--client-secret", default="sandbox-secret", help="accepted client secret")
    parser.add_argument("--team-id", default="7e57ab1e-0000-4000-8000-000000000001", help="the team's id")
    parser.add_argument("--summit-client-id", default="summit-client", help="client id accepted by Summit")
    parser.add_argument("--summit-client-secret", default="summit+secret/&=%41", help="client secret accepted by Summit")
    return parser.parse_args()


def announce(settings, ports):
    """Writes ready.json in one step, so that whoever sees it sees all of it."""
    document = {
        "pid": os.getpid(), **ports,
        "base_url": f"https://localhost:{ports['port']}{catalogue.BASE_PATH}",
        "control_url": f"http://127.0.0.1:{ports['control_port']}",
        "ca_file": str(settings.dir.resolve() / "ca.pem"),
        "client_id": settings.client_id, "client_secret": settings.client_secret, "team_id": settings.team_id,
        "summit_base_url": f"https://localhost:{ports['summit_port']}",
        "summit_auth_url": f"https://localhost:{ports['summit_auth_port']}",
        "summit_token_url": f"https://localhost:{ports['summit_auth_port']}{oauth.TOKEN_PATH}",
        "summit_client_id": settings.summit_client_id, "summit_client_secret": settings.summit_client_secret,
        "summit_scope": " ".join(oauth.SCOPES),
        "pulls": {username: pull_id_of(settings.seed, username) for username in users.RECIPES},
    }
    unfinished = settings.dir / "ready.json.new"
    unfinished.write_text(json.dumps(document, indent=1) + "\n")
    unfinished.replace(settings.dir / "ready.json")


def make_services(settings, journal, armed):
    """The TLS services by name, and what the control service needs beside the journal and the faults."""
    state, effects = State(settings), Effects()
    uploads, tokens = Uploads(settings.seed), oauth.Tokens()
    recorded = {
        "api": Api(state, effects, journal, armed),
        "download": Downloads(state, journal, armed),
        "summit": Summit(uploads, tokens, journal, armed),
        "summit_auth": oauth.OAuth(tokens, settings.summit_client_id, settings.summit_client_secret, journal, armed),
    }
    return recorded, (state, effects, SummitControl(uploads, tokens), WebhookControl(Lifecycle(state, uploads)))


def main():
    settings = read_arguments()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings.dir.mkdir(parents=True, exist_ok=True)
    (settings.dir / "ready.json").unlink(missing_ok=True)
    place = certificates.make(settings.dir)
    context = certificates.context(place)
    journal, armed = Journal(), Faults()
    services, memory = make_services(settings, journal, armed)
    misbehaving = Listeners(place, services)
    listeners = {PORTS[name]: Listener(tls(service, context), getattr(settings, PORTS[name]))
                 for name, service in services.items()}
    listeners["control_port"] = Listener(plain(Control(*memory, journal, armed, misbehaving)), settings.control_port)
    settings.download_port = listeners["download_port"].port
    for listener in listeners.values():
        listener.start()
    announce(settings, {name: listener.port for name, listener in listeners.items()})
    while not stop.wait(3600):
        pass
    (settings.dir / "ready.json").unlink(missing_ok=True)
    for listener in listeners.values():
        listener.stop()
    misbehaving.close_all()


if __name__ == "__main__":
    main()
