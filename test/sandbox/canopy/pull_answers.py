"""Carriers, pulls, their files, consent and login: what these operations do."""

import datetime
import urllib.parse

from canopy.behaviour import behaves, found, the_pull
from canopy.call import ApiError
from canopy.state import CARRIER_LIST, TERMS_VERSION
from data import files
from data.pools import CARRIERS
from net.wire import Response, compact


# Health, terms, carriers

@behaves("get-health")
def get_health(state, call):
    return {"healthy": True}


@behaves("get-tos")
def get_tos(state, call):
    return {"terms_version": TERMS_VERSION, "terms_html": "<h1>Terms</h1><p>Sandbox terms of service.</p>"}


def carriers_for(state, call):
    """The carriers that the query's filter leaves; the two filters exclude each other."""
    products, alias = call.query["products"], call.query["public_alias"]
    if products is not None and alias is not None:
        raise call.reject("VALIDATION_ERROR", "INVALID_STATUS")
    if products is not None:
        wanted = set(products.split(","))
        if not wanted <= {"personal", "commercial"}:
            raise call.reject("VALIDATION_ERROR", "INVALID_STATUS")
        return [carrier for carrier in CARRIER_LIST if wanted & set(carrier["products"])]
    return CARRIER_LIST if alias is None or state.has_alias(alias) else []


@behaves("get-carriers")
def get_carriers(state, call):
    return carriers_for(state, call)


@behaves("get-carrier")
def get_carrier(state, call):
    return found({carrier["carrier_id"]: carrier for carrier in carriers_for(state, call)}, call.params["carrierId"])


# Pulls

def enveloped(pull, with_property_data=False):
    return Response(200, b'{"success":true,"pull":' + pull.render(with_property_data) + b"}")


@behaves("get-pull-by-id")
def get_pull(state, call):
    with_property_data = call.query["withPropertyData"]
    if with_property_data not in (None, "true", "false"):
        raise call.reject("VALIDATION_ERROR")
    return enveloped(the_pull(state, call), with_property_data == "true")


@behaves("get-pulls")
def get_pulls(state, call):
    since, before = call.query["since"], call.query["before"]
    offset = call.query["offset"] or 0
    if offset < 0:
        raise call.reject("VALIDATION_ERROR")
    pulls = [pull for pull in state.sorted_pulls()
             if (since is None or pull.created_at >= comparable(since))
             and (before is None or pull.created_at <= comparable(before))]
    page = pulls[offset:offset + call.query["limit"]]
    return Response(200, b'{"total_pulls":%d,"pulls":[%s]}' % (len(pulls), b",".join(pull.render() for pull in page)))


def comparable(text):
    """A date-time in UTC in the shape of created_at, so that texts compare like instants."""
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo:
        moment = moment.astimezone(datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


@behaves("patch-pull-by-id")
def patch_pull(state, call):
    if "is_archived" not in call.body:
        raise call.reject("INVALID_INPUT")
    the_pull(state, call).change(is_archived=call.body["is_archived"])
    return {"success": True}


@behaves("post-pull-policy-check")
def check_pull(state, call):
    pull = the_pull(state, call)
    asked = call.body.get("policy_check_settings") or state.policy_check_settings
    status = "COMPLIANT" if asked else "NONE"
    for policy in pull.document.get("policies", ()):
        policy["policy_check"] = {"status": status, "details": {"status": status, "actual": {}, "expected": asked}}
    pull.change(policy_check_status=status)
    return enveloped(pull)


@behaves("get-pull-policy-check-pdf")
def check_pdf(state, call):
    return pdf("policy-check.pdf", f"Policy check of {the_pull(state, call).pull_id}")


# Files

def pdf(name, title):
    return Response(200, files.pdf(title), "application/pdf",
                    [("Content-Disposition", f'attachment; filename="{name}"')])


def signed(state, kind, file_id):
    """A redirect to a short-lived looking URL on the download listener."""
    path = f"/{kind}/{urllib.parse.quote(file_id, safe='')}"
    url = f"https://localhost:{state.settings.download_port}{path}?signature={state.sign(path)}"
    return Response.of({"url": url}, 302, [("Location", url)])


def the_document(state, call):
    documents = the_pull(state, call).document.get("documents") or ()
    return found({document.get("document_id"): document for document in documents}, call.params["documentId"])


@behaves("download-document-by-id")
def download_document(state, call):
    document = the_document(state, call)
    return signed(state, "jpg" if document.get("mime_type") == "image/jpeg" else "pdf", document["document_id"])


@behaves("get-document-by-id")
def get_document(state, call):
    return pdf("document.pdf", the_document(state, call).get("title", ""))


@behaves("download-file-by-id")
def download_file(state, call):
    uploads = {(field["consumer_flow_section_field_id"], upload["file_id"])
               for section in the_pull(state, call).document.get("answers") or () for field in section["fields"]
               if isinstance(field["value"], list) for upload in field["value"]}
    if (call.params["answerId"], call.params["fileId"]) not in uploads:
        raise ApiError("NOT_FOUND")
    return signed(state, "jpg", call.params["fileId"])


@behaves("download-policy-form-by-id")
def download_form(state, call):
    if not state.owns_form(call.params["policyFormId"]):
        raise ApiError("NOT_FOUND")
    return signed(state, "pdf", call.params["policyFormId"])


@behaves("get-policy-form-by-id")
def get_form(state, call):
    if not state.owns_form(call.params["policyFormId"]):
        raise ApiError("NOT_FOUND")
    return pdf("form.pdf", f"Form {call.params['policyFormId']}")


# Consent, login, identity verification

def check_consent(state, call):
    if call.body["terms_version"] != TERMS_VERSION:
        raise ApiError("INVALID_PRIVACY_POLICY_TERM_ID")
    if "public_alias" in call.body and not state.has_alias(call.body["public_alias"]):
        raise ApiError("INVALID_PUBLIC_ALIAS")


def check_insurer(call):
    if call.body["insurerName"] not in {carrier[0] for carrier in CARRIERS}:
        raise ApiError("UNSUPPORTED_INSURER")


@behaves("post-consent")
def post_consent(state, call):
    check_consent(state, call)
    return {"consent_token": state.sign(state.new_id())}


@behaves("post-consent-and-connect")
def consent_and_connect(state, call):
    check_consent(state, call)
    check_insurer(call)
    pull = state.new_pull()
    state.login(pull, call.body["insurerUsername"], call.body.get("insurerPassword"))
    pull.change(insurance_provider_name=call.body["insurerName"], public_alias=call.body["public_alias"],
                meta_data=compact(call.body["meta_data"]).decode() if "meta_data" in call.body else None)
    result = {"pull_id": pull.pull_id, "pull_jwt": state.pull_jwt(pull.pull_id)}
    if call.body.get("servicing_actions"):
        pull.change(type="SERVICING")
        result["servicing_action_ids"] = [state.add_servicing(pull.pull_id, action)
                                          for action in call.body["servicing_actions"]]
    return result


@behaves("post-consent-and-documents")
def consent_and_documents(state, call):
    check_consent(state, call)
    pull = state.new_pull(type="DOCUMENT_UPLOAD", status="DOCUMENT_PARSING", public_alias=call.body["public_alias"],
                          meta_data=compact(call.body["meta_data"]).decode() if "meta_data" in call.body else None)
    return {"pull_id": pull.pull_id}


@behaves("post-policy-search")
def policy_search(state, call):
    if call.body["terms_version"] != TERMS_VERSION:
        raise ApiError("INVALID_INPUT")
    if not state.has_alias(call.body["public_alias"]):
        raise ApiError("INVALID_PUBLIC_ALIAS")
    if not call.body["searchData"]:
        raise ApiError("INVALID_POLICY_LOOKUP_DATA")
    pull = state.new_pull()
    state.login(pull, "user_good_auto" if call.body["searchType"].startswith("AUTO") else "user_good_home", "pass_good")
    pull.change(type="POLICY_LOOKUP", insurance_provider_name=call.body["insurerName"])
    return {"pull_id": pull.pull_id, "pull_jwt": state.pull_jwt(pull.pull_id)}


def in_status(call, pull, *statuses):
    if pull.document.get("status") not in statuses:
        raise call.reject("INVALID_ACTION")


@behaves("post-connect")
def post_connect(state, call):
    pull = the_pull(state, call)
    check_insurer(call)
    in_status(call, pull, "NOT_AUTHENTICATED")
    state.login(pull, call.body["insurerUsername"], call.body.get("insurerPassword"))
    return {"pull": {"pull_id": pull.pull_id}, "shouldPoll": True}


@behaves("post-idvoptions")
def post_idvoptions(state, call):
    pull = the_pull(state, call)
    if not call.body.get("optionKey"):
        raise ApiError("INVALID_INPUT")
    in_status(call, pull, "IDENTITY_VERIFICATION_OPTIONS")
    pull.change(status="IDENTITY_VERIFICATION")
    return {"pull_id": pull.pull_id}


@behaves("post-idv")
def post_idv(state, call):
    """The code 000000 is wrong, 000001 ends in a login error, any other is right."""
    pull = the_pull(state, call)
    if not call.body.get("mfaValue"):
        raise ApiError("INVALID_INPUT")
    in_status(call, pull, "IDENTITY_VERIFICATION")
    if call.body["mfaValue"] == "000001":
        pull.change(status="NOT_AUTHENTICATED")
    elif call.body["mfaValue"] != "000000":
        state.login(pull, "user_good", "pass_good")
        pull.change(encountered_mfa=True)
    return {"pull_id": pull.pull_id}


@behaves("post-reconnect-token")
def post_reconnect_token(state, call):
    for monitoring in state.monitorings.values():
        if monitoring["reconnect_token"] == call.body["reconnect_token"]:
            return {"pull_id": monitoring["latest_pull_id"], "pull_jwt": state.pull_jwt(monitoring["latest_pull_id"])}
    raise ApiError("INVALID_RECONNECT_TOKEN")
