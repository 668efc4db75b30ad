"""Summit's API: uploads and their jobs, as the guide describes them."""

from net.recorded import Recorded
from net.wire import Response
from summit import submission
from summit.uploads import Conflict
from webhook.summit_events import remembered

POLICIES_PATH = "/v1/policies"
JOBS_PATH = "/v1/jobs/"
MAX_KEY = 255
CODES = {400: "invalid_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 409: "conflict",
         413: "invalid_request", 422: "invalid_request", 429: "rate_limited"}


class Failure(Exception):
    """An answer of Summit's error model."""

    def __init__(self, status, message, field=None, job_id=None):
        super().__init__(message)
        self.status = status
        self.field = field
        self.job_id = job_id


class Summit(Recorded):
    """POST /v1/policies and GET /v1/jobs/{id}."""

    name = "summit"

    def __init__(self, uploads, tokens, journal, armed):
        super().__init__(journal, armed)
        self.uploads = uploads
        self.tokens = tokens

    def describe(self, request, entry):
        if request.path.startswith(JOBS_PATH):
            entry.update(operation="get-job", params={"jobId": request.path.removeprefix(JOBS_PATH)})
        elif request.path == POLICIES_PATH:
            entry["operation"] = "upload-policy"
            request.document = read_json(request)
            self.uploads.count_request(policy_number_of(request.document), entry["idempotency_key"], entry["body_sha256"])

    def respond(self, request, entry):
        try:
            if entry["operation"] == "upload-policy":
                return self.upload(request, entry)
            if entry["operation"] == "get-job":
                return self.show_job(request, entry)
            raise Failure(404, "no such resource")
        except Failure as failure:
            return self.failed(failure)

    def upload(self, request, entry):
        self.require("POST", "policies:write", request, entry)
        keys = [value for name, value in request.headers if name.lower() == "idempotency-key"]
        if len(keys) != 1 or not 0 < len(keys[0]) <= MAX_KEY:
            raise Failure(400, "Idempotency-Key is required, once", "Idempotency-Key")
        try:
            job = (self.uploads.known_job(keys[0], entry["body_sha256"])
                   or self.uploads.accept(keys[0], entry["body_sha256"], checked_policy_number(request),
                                          remembered(request.document)))
        except Conflict as conflict:
            raise Failure(409, str(conflict), job_id=conflict.job.job_id) from None
        return Response.of({"job_id": job.job_id, "status": "accepted", "links": {"self": JOBS_PATH + job.job_id}}, 202)

    def show_job(self, request, entry):
        self.require("GET", "policies:read", request, entry)
        job = self.uploads.poll(entry["params"]["jobId"])
        if job is None:
            raise Failure(404, "no such job")
        return Response.of(job.describe())

    def require(self, method, scope, request, entry):
        """Lets in only the right method with one live token that has the scope."""
        if request.method != method:
            raise Failure(405, f"use {method}")
        scopes = None
        if entry["auth"] == "bearer":
            scopes = self.tokens.scopes(request.header("authorization").partition(" ")[2])
        if scopes is None:
            raise Failure(401, "the access token is missing, unknown or expired")
        if scope not in scopes:
            raise Failure(403, f"the access token lacks the scope {scope}")

    def failed(self, failure):
        place = self.uploads.settings["conflict_job_id"] if failure.job_id else "none"
        body = self.error_body(failure.status, str(failure), failure.field)
        if place != "none":
            (body if place == "body" else body["error"])["job_id"] = failure.job_id
        headers = [("WWW-Authenticate", 'Bearer error="invalid_token"')] if failure.status == 401 else ()
        return Response.of(body, failure.status, headers)

    def error_body(self, status, message="armed by a test", field=None):
        code = CODES.get(status, "server_error" if status is None or status >= 500 else "invalid_request")
        where = {"field": field} if field else {}
        return {"error": {"code": code, "message": message, **where, "correlation_id": self.uploads.new_id("corr")}}


def read_json(request):
    """The body as JSON, None if it is none."""
    try:
        return request.json()
    except ValueError:
        return None


def policy_number_of(document):
    """What the body calls the policy, if it does."""
    policy = document.get("policy") if isinstance(document, dict) else None
    number = policy.get("policy_number") if isinstance(policy, dict) else None
    return number if isinstance(number, str) else None


def checked_policy_number(request):
    if (request.header("content-type") or "").partition(";")[0].strip().lower() != "application/json":
        raise Failure(400, "the content type must be application/json", "Content-Type")
    if request.document is None:
        raise Failure(400, "the body is not JSON")
    try:
        submission.check(request.document)
    except submission.Invalid as invalid:
        raise Failure(400, str(invalid), invalid.field or None) from None
    return request.document["policy"]["policy_number"]
