"""Summit's memory of uploads: idempotency keys, jobs and their outcomes, and the effects for tests to count."""

import re
import threading
import time

from data.source import Source

SETTINGS = {
    "idempotency_seconds": 24 * 60 * 60,  # how long a key is remembered
    "repeat": "original",                 # or "conflict": 409 while the job of the first request is pending
    "conflict_job_id": "body",            # where a 409 names the job: beside "error" ("body"), in it ("error"), "none"
}
OUTCOME = {"status": "verified", "after_polls": 0, "after_seconds": 0}


class Conflict(Exception):
    """The key already belongs to a job."""

    def __init__(self, message, job):
        super().__init__(message)
        self.job = job


class Job:
    """What became of one accepted upload."""

    def __init__(self, job_id, policy_number, outcome, submission=None):
        self.job_id = job_id
        self.policy_number = policy_number
        self.outcome = outcome
        self.submission = submission
        self.told = set()
        self.accepted_at = time.monotonic()
        self.polls = 0

    @property
    def status(self):
        """The outcome's status once its polls and seconds are over; "pending" until then, or for ever."""
        waited = time.monotonic() - self.accepted_at
        is_due = self.polls > self.outcome["after_polls"] and waited >= self.outcome["after_seconds"]
        return self.outcome["status"] if is_due else "pending"

    def wait(self):
        """Seconds until the outcome stands whether or not anybody asks; None while polls must come first."""
        if 0 < self.outcome["after_polls"] and self.polls <= self.outcome["after_polls"]:
            return None
        return max(0, self.accepted_at + self.outcome["after_seconds"] - time.monotonic())

    def describe(self):
        """The job as GET /v1/jobs/{id} shows it."""
        shown = {"job_id": self.job_id, "status": self.status, "links": {"self": f"/v1/jobs/{self.job_id}"}}
        if shown["status"] == "failed":
            shown["error"] = {name: self.outcome[name] for name in ("code", "message", "field", "correlation_id")
                              if name in self.outcome}
        return shown


def read_outcome(document):
    """An outcome as tests give it, completed."""
    outcome = {**OUTCOME, **document}
    if outcome["status"] == "failed":
        outcome = {"code": "invalid_request", "message": "the carrier does not know this policy",
                   "field": "policy.policy_number", "correlation_id": "corr_01SANDBOX", **outcome}
    float(outcome["after_polls"]), float(outcome["after_seconds"])
    return outcome


class Key:
    """An idempotency key in use: the request that it stands for, and the job of that request."""

    def __init__(self, body_sha256, job):
        self.body_sha256 = body_sha256
        self.job = job
        self.used_at = time.monotonic()


class Uploads:
    """All uploads since the last reset."""

    def __init__(self, seed):
        self.lock = threading.RLock()
        self.source = Source(seed, "summit")
        self.watch = lambda job: None
        self.reset()

    def reset(self):
        with self.lock:
            self.settings = dict(SETTINGS)
            self.keys = {}
            self.jobs = {}
            self.outcomes = []
            self.submissions = {}
            self.clear_effects()

    def clear_effects(self):
        with self.lock:
            self.rows = {}

    def change_settings(self, changes):
        with self.lock:
            if unknown := changes.keys() - SETTINGS.keys():
                raise KeyError(", ".join(unknown))
            self.settings.update(changes)

    def new_id(self, kind):
        """An id in the shape of the guide's; never the same twice in the life of the process."""
        with self.lock:
            return f"{kind}_01{self.source.getrandbits(96):024X}"

    # Uploading

    def known_job(self, key, body_sha256):
        """The job that a repeated request gets again, None for a new key; Conflict if the key means another request."""
        with self.lock:
            known = self.keys.get(key)
            if known is None or time.monotonic() - known.used_at >= self.settings["idempotency_seconds"]:
                return None
            if known.body_sha256 != body_sha256:
                raise Conflict("Idempotency-Key was used with another body", known.job)
            if self.settings["repeat"] == "conflict" and known.job.status == "pending":
                raise Conflict("the job of this Idempotency-Key is being processed", known.job)
            return known.job

    def accept(self, key, body_sha256, policy_number, submission=None):
        """The job of a checked upload: the one effect of a new key, or what the key got before.

        The submission is what webhooks tell of the upload.
        """
        with self.lock:
            job = self.known_job(key, body_sha256)
            if job is None:
                job = Job(self.new_id("job"), policy_number, self.outcome_for(policy_number), submission)
                self.jobs[job.job_id] = job
                self.keys[key] = Key(body_sha256, job)
                row = self.row(policy_number, key)
                row["effects"] += 1
                row["job_id"] = job.job_id
                self.submissions[policy_number] = submission
                self.watch(job)
            return job

    def poll(self, job_id):
        """The job, asked for once more; None if there is none."""
        with self.lock:
            job = self.jobs.get(job_id)
            if job:
                job.polls += 1
                self.watch(job)
            return job

    def change_outcome(self, job_id, outcome):
        with self.lock:
            self.jobs[job_id].outcome = read_outcome(outcome)
            self.watch(self.jobs[job_id])

    # Outcomes, chosen when an upload is accepted

    def add_outcome(self, match, times, outcome):
        with self.lock:
            self.outcomes.append({"match": re.compile(match), "left": times, "outcome": read_outcome(outcome)})

    def list_outcomes(self):
        with self.lock:
            return [{"policy_number": rule["match"].pattern, "left": rule["left"], "outcome": rule["outcome"]}
                    for rule in self.outcomes]

    def clear_outcomes(self):
        with self.lock:
            self.outcomes.clear()

    def outcome_for(self, policy_number):
        """That of the first rule that matches and is not used up."""
        for rule in self.outcomes:
            if rule["left"] != 0 and rule["match"].search(policy_number):
                if rule["left"] is not None:
                    rule["left"] -= 1
                return rule["outcome"]
        return OUTCOME

    # Effects

    def row(self, policy_number, key):
        return self.rows.setdefault((policy_number, key), {"requests": 0, "effects": 0, "bodies": set(), "job_id": None})

    def count_request(self, policy_number, key, body_sha256):
        with self.lock:
            row = self.row(policy_number, key)
            row["requests"] += 1
            row["bodies"].add(body_sha256)

    def list(self):
        """One row for each policy number and key that was seen together."""
        with self.lock:
            return [{"policy_number": policy_number, "idempotency_key": key, **row, "bodies": len(row["bodies"])}
                    for (policy_number, key), row in self.rows.items()]

    def summary(self):
        rows, effects, keys = self.list(), {}, {}
        for row in rows:
            effects[row["policy_number"]] = effects.get(row["policy_number"], 0) + row["effects"]
            keys.setdefault(row["policy_number"], set()).add(row["idempotency_key"])
        return {"requests": sum(row["requests"] for row in rows), "policies": len(effects),
                "effects": sum(effects.values()), "duplicate_effects": sum(max(0, count - 1) for count in effects.values()),
                "policies_with_several_keys": sum(len(used) > 1 for used in keys.values())}
