"""Webhooks that the sandbox sends by itself, because an upload or a pull of its own has come to a new state."""

from canopy.team_answers import events_of
from data import users
from data.source import named_uuid
from net.wire import compact
from webhook import canopy_events, summit_events
from webhook.sender import Envelope, Fixed, Sender
from webhook.webhooks import Webhooks

AUTH_STATES = canopy_events.EVENTS["AUTH_STATUS"].variants
ERRORS = canopy_events.EVENTS["ERROR"].variants


def bare_pull(pull_id, team_id):
    """A pull of which only the id is known."""
    return {"pull_id": pull_id, "team_id": team_id, "widget_id": named_uuid(team_id, "widget"), "type": "PULLING_DATA",
            "status": "SUCCESS", "meta_data": None, "account_identifier": named_uuid(pull_id, "account")}


class Memory:
    """What webhooks tell about, taken from the sandbox's two providers."""

    def __init__(self, state, uploads):
        self.state = state
        self.uploads = uploads

    def pull(self, pull_id=None):
        """A pull's document: without an id that of user_good, and an empty one for an unknown id."""
        with self.state.lock:
            if pull_id is None:
                pull_id = next(pull.pull_id for pull in self.state.pulls.values() if pull.username == "user_good")
            stored = self.state.pulls.get(pull_id)
            known = stored.document if stored and stored.document.get("pull_id") == pull_id else {}
            return {**bare_pull(pull_id, self.state.settings.team_id), **known}

    def monitoring(self, pull_id, first=1):
        """The monitoring that a refreshed pull belongs to, as envelopes show it; with first=0 also the pull it began with."""
        with self.state.lock:
            for monitoring in self.state.monitorings.values():
                if pull_id in monitoring["pull_ids"][first:]:
                    return {"initial_pull_id": monitoring["pull_ids"][0], "monitoring_id": monitoring["monitoring_id"]}
            return None

    def hooks(self):
        with self.state.lock:
            return list(self.state.webhooks.values())

    def upload(self, policy_number):
        """What was last uploaded for a policy; the guide's example under its number if nothing was."""
        return self.uploads.submissions.get(policy_number) or summit_events.upload_of(policy_number)


class Imagination:
    """The same without a sandbox: user_good's pull, and the guide's upload."""

    def __init__(self, seed):
        self.known = users.build_pull(seed, "user_good", "7e57ab1e-0000-4000-8000-000000000001")

    def pull(self, pull_id=None):
        return self.known if pull_id is None else bare_pull(pull_id, self.known["team_id"])

    def monitoring(self, pull_id, first=1):
        return None

    def hooks(self):
        return []

    def upload(self, policy_number):
        return summit_events.upload_of(policy_number)


class Lifecycle:
    """Watches uploads and pulls, and tells registered receivers a moment later.

    The moment lets the request that changed something finish first, so that a webhook does not
    tell half of it; a delay of 0 makes the two race.
    """

    def __init__(self, state, uploads):
        self.state = state
        self.uploads = uploads
        self.sender = Sender(state.settings.seed)
        self.webhooks = Webhooks(state.settings.seed, self.sender, Memory(state, uploads))
        state.watch = self.pull_changed
        uploads.watch = self.job_changed

    def reset(self):
        self.sender.reset()
        self.webhooks.reset()

    def later(self, function, seconds=0):
        self.sender.agenda.add(function, seconds + self.sender.settings["delay"])

    # Uploads

    def job_changed(self, job):
        """Called when a job is new, was asked for, or got another outcome."""
        if job.submission and self.webhooks.is_anyone_listening("summit"):
            if "policy.submitted" not in job.told:
                self.tell_job(job, "policy.submitted")
            if self.is_to_be_verified(job):
                self.later(lambda: self.verify(job), job.wait())

    @staticmethod
    def is_to_be_verified(job):
        return job.outcome["status"] == "verified" and job.wait() is not None and "policy.verified" not in job.told

    def verify(self, job):
        """Tells that a job is verified, if it still is when the time has come."""
        with self.uploads.lock:
            if self.uploads.jobs.get(job.job_id) is job and self.is_to_be_verified(job) and job.wait() < 0.01:
                self.tell_job(job, "policy.verified")

    def tell_job(self, job, event):
        job.told.add(event)
        body = Envelope(summit_events.document(event, job.submission, self.webhooks.ids))
        self.later(lambda: self.webhooks.tell("summit", event, lambda: body))

    # Pulls

    def pull_changed(self, pull):
        """Called when a pull's status has been set."""
        status = pull.document.get("status")
        if self.webhooks.is_anyone_listening("canopy"):
            self.later(lambda: self.tell_pull(pull.pull_id, status))

    def tell_pull(self, pull_id, status):
        with self.state.lock:
            if pull := self.state.pulls.get(pull_id):
                for event, variant, changes in self.events(pull, status):
                    self.webhooks.tell("canopy", event, lambda: self.body(pull, event, variant, changes))

    def body(self, pull, event, variant, changes):
        subject = self.webhooks.subject(pull.pull_id, is_counted=event == "AUTH_STATUS")
        made = canopy_events.body(event, subject, variant)
        made["data"].update(changes)
        return Fixed(compact(made))

    def events(self, pull, status):
        """The events of a status, each with its variant and what its data says besides."""
        if pull.document.get("type") == "SERVICING":
            yield from self.servicing_events(pull, status)
        elif status in AUTH_STATES:
            yield "AUTH_STATUS", status, {}
        if status in ERRORS:
            yield "ERROR", status, {}
        elif status == "SUCCESS":
            yield from self.success_events(pull)
        elif status in AUTH_STATES and self.webhooks.memory.monitoring(pull.pull_id):
            yield "MONITORING_RECONNECT", status, {}

    def servicing_events(self, pull, status):
        for stored in self.state.servicings.values():
            action = stored["action"]
            if stored["pull_id"] == pull.pull_id and action["status"] in canopy_events.PREVIOUS:
                yield "SERVICING_STATUS_UPDATED", action["status"], {"servicing_action_id": action["servicing_action_id"]}

    def success_events(self, pull):
        if pull.document.get("type") != "SERVICING":
            for policy in canopy_events.things(pull.document, "policies"):
                yield "POLICY_AVAILABLE", None, {name: policy.get(name) for name in ("policy_id", "policy_type")}
            yield "POLICIES_AVAILABLE", None, {}
        yield "COMPLETE", None, {}
        for monitoring in self.state.monitorings.values():
            if pull.pull_id in monitoring["pull_ids"][1:]:
                for change in events_of(self.state, monitoring):
                    yield "MONITORING_EVENTS", change["type"], change
