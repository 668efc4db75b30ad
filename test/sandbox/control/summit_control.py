"""The control routes for Summit's side: effects, outcomes of jobs, tokens, settings."""


class SummitControl:
    """Handlers in the form of those of Control, which owns the table of routes."""

    def __init__(self, uploads, tokens):
        self.uploads = uploads
        self.tokens = tokens
        self.routes = {
            ("GET", "outcome"): self.get_outcomes, ("POST", "outcome"): self.post_outcome,
            ("DELETE", "outcome"): self.delete_outcomes,
            ("GET", "job"): self.get_job, ("PUT", "job"): self.put_job,
            ("GET", "tokens"): self.get_tokens, ("PUT", "tokens"): self.put_tokens, ("DELETE", "tokens"): self.delete_tokens,
            ("GET", "summit"): self.get_settings, ("PUT", "summit"): self.put_settings,
        }

    def reset(self):
        self.uploads.reset()
        self.tokens.reset()

    def get_outcomes(self, request, name):
        return {"outcomes": self.uploads.list_outcomes()}

    def post_outcome(self, request, name):
        document = request.json()
        self.uploads.add_outcome(document.get("policy_number") or "", document.get("times"), document["outcome"])
        return {}

    def delete_outcomes(self, request, name):
        self.uploads.clear_outcomes()
        return {}

    def get_job(self, request, job_id):
        job = self.uploads.jobs[job_id]
        return {**job.describe(), "policy_number": job.policy_number, "polls": job.polls, "outcome": job.outcome}

    def put_job(self, request, job_id):
        self.uploads.change_outcome(job_id, request.json())
        return {}

    def get_tokens(self, request, name):
        return self.tokens.describe()

    def put_tokens(self, request, name):
        self.tokens.change_settings(request.json())
        return {}

    def delete_tokens(self, request, name):
        self.tokens.revoke_all()
        return {}

    def get_settings(self, request, name):
        return self.uploads.settings

    def put_settings(self, request, name):
        self.uploads.change_settings(request.json())
        return {}
