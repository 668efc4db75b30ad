"""What the sandbox remembers: teams, pulls, webhooks, monitorings, servicing actions, widgets."""

import base64
import copy
import datetime
import hashlib
import hmac
import json
import threading

from canopy.apps import Apps
from data import users
from data.entities import entity
from data.pools import CARRIERS
from data.source import Source, named_uuid
from net.wire import compact

EVENT_TYPES = ["COMPLETE", "POLICIES_AVAILABLE"]
OPEN_PASSWORDS = ("user_bad", "user_provider_error", "user_internal_error")
TERMS_VERSION = 3


class StoredPull:
    """A pull and the bytes that answers carry; `raw` replaces the document with arbitrary bytes."""

    def __init__(self, pull_id, username, document, raw=None):
        self.pull_id = pull_id
        self.username = username
        self.document = document
        self.raw = raw
        self.rendered = {}
        self.watch = None

    @property
    def created_at(self):
        return str(self.document.get("created_at") or "")

    def render(self, with_property_data=False):
        """The pull as JSON bytes; property data only on request."""
        if self.raw is not None:
            return self.raw
        if with_property_data not in self.rendered:
            shown = self.document if with_property_data else without_property_data(self.document)
            self.rendered[with_property_data] = compact(shown)
        return self.rendered[with_property_data]

    def change(self, **fields):
        """Changes fields of the document, which then also replaces raw bytes."""
        self.document.update(fields)
        if self.raw is not None:
            self.raw = compact(self.document)
        self.rendered.clear()
        if "status" in fields and self.watch:
            self.watch(self)


def without_property_data(document):
    shown = copy.deepcopy(document)
    for policy in shown["policies"]:
        for place in (*policy["dwellings"], *policy["locations"]):
            place["property_data"] = None
    return shown


class State:
    """The sandbox's memory. Answers are made under `lock`."""

    def __init__(self, settings):
        self.settings = settings
        self.lock = threading.RLock()
        self.built = {}
        self.watch = lambda pull: None
        self.reset()

    def reset(self):
        """Back to the state of a fresh start."""
        settings = self.settings
        with self.lock:
            self.source = Source(settings.seed, "state")
            self.teams = {settings.team_id: {"client_id": settings.client_id, "client_secret": settings.client_secret,
                                             "company_name": "Sandbox Insurance Agency", "active": True}}
            self.apps = Apps(settings.client_id, settings.client_secret, settings.team_id)
            self.pulls = {}
            self.numbers = {}
            for username in users.RECIPES:
                self.add_pull(username)
            self.webhooks = {}
            self.monitorings = {}
            self.policy_check_settings = {"vehicle": {"POLICY_NOT_ACTIVE": True, "NO_COLLISION_COVERAGE": True},
                                          "dwelling": {"DWELLING_POLICY_NOT_ACTIVE": True}}
            self.widgets = {}
            for number in (1, 2, 3):
                self.add_widget(named_uuid(settings.seed, "widget", number), number)
            self.servicings = {}
            self.add_verified_servicing()

    def new_id(self):
        return self.source.uuid()

    # Teams and tokens

    def team_of(self, key):
        """The team that a client id and secret belong to, or None."""
        for team_id, team in self.teams.items():
            if key == (team["client_id"], team["client_secret"]):
                return team_id
        return None

    def sign(self, text):
        """A signature that only this sandbox makes: for pull tokens and download URLs."""
        key = f"sandbox-{self.settings.seed}".encode()
        return hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def pull_jwt(self, pull_id):
        """The token of a pull, in the shape of a JWT."""
        parts = [base64.urlsafe_b64encode(compact(part)).rstrip(b"=").decode()
                 for part in ({"alg": "HS256", "typ": "JWT"}, {"pull_id": pull_id})]
        return ".".join((*parts, self.sign(".".join(parts))))

    # Pulls

    def add_pull(self, username):
        """The next pull of a sandbox user's account."""
        document = self.build(username)
        return self.keep(StoredPull(document["pull_id"], username, document))

    def build(self, username, pull_id=None):
        """The next pull of an account, built once and copied after a reset."""
        number = self.numbers.get(username, 0)
        self.numbers[username] = number + 1
        key = username, number, pull_id
        if key not in self.built:
            self.built[key] = compact(users.build_pull(self.settings.seed, username, self.settings.team_id,
                                                       self.settings.today, number, pull_id))
        return json.loads(self.built[key])

    def keep(self, pull):
        pull.watch = self.announce
        self.pulls[pull.pull_id] = pull
        return pull

    def announce(self, pull):
        """Tells whoever watches that a pull's status has been set."""
        self.watch(pull)

    def put_raw(self, pull_id, raw):
        """Stores arbitrary bytes as a pull; what can be read of them serves sorting and look-up."""
        try:
            document = json.loads(raw)
        except (ValueError, RecursionError):
            document = None
        known = self.pulls.get(pull_id)
        with self.lock:
            pull = self.keep(StoredPull(pull_id, known and known.username, document if isinstance(document, dict) else {}, raw))
            if known is None or known.document.get("status") != pull.document.get("status"):
                self.announce(pull)

    def login(self, pull, username, password):
        """What a login with these sandbox credentials makes of a pull, in place."""
        good = username in users.RECIPES and (password == "pass_good" or username in OPEN_PASSWORDS)
        pull.username = username if good else "user_bad"
        pull.change(**{**self.build(pull.username, pull.pull_id), "created_at": pull.created_at})

    def new_pull(self, **fields):
        """An empty pull that has just begun."""
        pull_id = self.new_id()
        document = entity("Pull", pull_id=pull_id, team_id=self.settings.team_id, type="PULLING_DATA", status="STARTED",
                          policy_check_status="NONE", created_at=now(), public_alias="sandbox-link")
        document.update(fields)
        return self.keep(StoredPull(pull_id, None, document))

    def sorted_pulls(self):
        """All pulls, the newest first."""
        return sorted(self.pulls.values(), key=lambda pull: (pull.created_at, pull.pull_id), reverse=True)

    def owns_form(self, policy_form_id):
        return any(form.get("policy_form_id") == policy_form_id
                   for pull in self.pulls.values() for policy in pull.document.get("policies") or ()
                   for form in policy.get("forms_and_endorsements") or ())

    # Everything else

    def add_widget(self, widget_id, number, **fields):
        alias = "sandbox-link" if number == 1 else f"sandbox-link-{number}"
        self.widgets[widget_id] = entity(
            "Widget", **{"widget_id": widget_id, "intro_title": "Share your policy", "public_alias": alias,
                         "company_name": "Sandbox Insurance Agency", "success_message": "Thank you", "is_sandbox": True,
                         "brand_color_hex": "0B6E4F", **fields})
        widget = self.widgets[widget_id]
        widget["public_url"] = f"https://app.usecanopy.com/c/{widget['public_alias']}"
        return widget

    def has_alias(self, alias):
        return any(widget["public_alias"] == alias for widget in self.widgets.values())

    def add_servicing(self, pull_id, request, status="WAITING_FOR_CONSUMER_CONFIRMATION"):
        action_id = self.new_id()
        self.servicings[action_id] = {"pull_id": pull_id, "action": {
            "servicing_action_id": action_id, "status": status, "validation_error_type": None, **request}}
        return action_id

    def add_verified_servicing(self):
        """The servicing action that user_servicing_verification comes with."""
        pull = next(pull for pull in self.pulls.values() if pull.username == "user_servicing_verification")
        policy = pull.document["policies"][0]
        self.add_servicing(pull.pull_id, {"type": "ADD_MORTGAGEE", "payload": {
            "carrier_policy_number": policy["carrier_policy_number"], "name": "Pioneer Home Loans",
            "address": "1 Lender Plaza, Columbus, OH 43215", "loan_number": "5550001111",
            "mortgagee_type": "SECOND"}}, "VERIFIED")


CARRIER_LIST = [
    {"carrier_id": carrier_id, "name": name, "usernameFieldPlaceholder": "User ID", "thirdFieldPlaceholder": None,
     "color": "#1f4e9e", "homepageUrl": f"www.{carrier_id}.example", "createAccountUrl": f"https://www.{carrier_id}.example/join",
     "resetPasswordUrl": f"https://www.{carrier_id}.example/reset", "disablePasswordField": False,
     "servicingActions": list(actions), "products": list(products)}
    for carrier_id, name, products, actions in CARRIERS]


def now():
    moment = datetime.datetime.now(datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
