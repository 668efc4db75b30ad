"""Webhooks, monitorings, servicings, enrichment, widgets, teams: what these operations do."""

import re

from canopy.behaviour import behaves, found, sampled, the_pull
from canopy.call import ApiError
from canopy.state import EVENT_TYPES

SUMMARY_STATUS = {"SUCCESS": "COMPLETED", "IDENTITY_VERIFICATION": "WAITING_FOR_USER",
                  "IDENTITY_VERIFICATION_OPTIONS": "WAITING_FOR_USER", "NOT_AUTHENTICATED": "WAITING_FOR_USER"}
DURATION = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)D)?")


# Webhooks

@behaves("get-webhooks")
def get_webhooks(state, call):
    return {"webhooks": list(state.webhooks.values())}


@behaves("post-webhooks")
def post_webhook(state, call):
    if not re.match(r"https?://[^/]+", call.body.get("hookUrl") or ""):
        raise ApiError("INVALID_URL")
    webhook_id = state.new_id()
    secret = state.sign(webhook_id)
    state.webhooks[webhook_id] = {"webhook_id": webhook_id, "signing_secret": secret, "url": call.body["hookUrl"],
                                  "is_sandbox": True, "is_active": True, "event_types": call.body.get("eventTypes", EVENT_TYPES)}
    return {"webhook_id": webhook_id, "signing_secret": secret}


@behaves("patch-webhook")
def patch_webhook(state, call):
    webhook = found(state.webhooks, call.params["webhookId"])
    webhook.update({field: call.body[name] for name, field in (("isActive", "is_active"), ("eventTypes", "event_types"))
                    if name in call.body})
    return {"success": True}


@behaves("delete-webhook")
def delete_webhook(state, call):
    if state.webhooks.pop(call.params["webhookId"], None) is None:
        raise ApiError("INVALID_WEBHOOK_ID")
    return {"success": True}


# Monitorings

def shown(monitoring):
    return {name: monitoring[name] for name in
            ("monitoring_id", "latest_pull_id", "status", "next_pull_date", "interval", "stop_after_date")}


def days(interval):
    """The length of an interval of years, months and days, 0 if it is something else."""
    match = DURATION.fullmatch(interval)
    years, months, count = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    return years * 365 + months * 30 + count


def the_monitoring(state, call):
    return found(state.monitorings, call.params["monitoringId"])


@behaves("post-monitoring")
def post_monitoring(state, call):
    pull = found(state.pulls, call.body["pull_id"])
    if days(call.body["interval"]) < 30:
        raise ApiError("INVALID_INPUT")
    if pull.document.get("status") != "SUCCESS":
        raise ApiError("PULL_NOT_SUCCESS")
    if pull.document.get("type") != "PULLING_DATA":
        raise ApiError("PULL_NOT_SUPPORTED")
    monitoring_id = state.new_id()
    monitoring = {"monitoring_id": monitoring_id, "latest_pull_id": pull.pull_id, "status": "ACTIVE",
                  "next_pull_date": call.body.get("next_pull_date", "2026-04-01T05:00:00.000Z"),
                  "interval": call.body["interval"], "stop_after_date": call.body.get("stop_after_date"),
                  "pull_ids": [pull.pull_id], "reconnect_token": state.sign(monitoring_id)}
    state.monitorings[monitoring_id] = monitoring
    return {"success": True, "monitoring": shown(monitoring)}


@behaves("get-monitorings")
def get_monitorings(state, call):
    query = call.query
    if query["pull_id"] is not None and query["account_identifier"] is not None:
        raise call.reject("VALIDATION_ERROR")
    chosen = [monitoring for monitoring in reversed(state.monitorings.values())
              if query["status"] in (None, monitoring["status"])
              and (query["pull_id"] is None or query["pull_id"] in monitoring["pull_ids"])
              and query["account_identifier"] in (None, account_of(state, monitoring))]
    page = after(chosen, "monitoring_id", query["before"])[:query["limit"]]
    return {"monitorings_count": len(chosen), "monitorings": [shown(monitoring) for monitoring in page]}


def account_of(state, monitoring):
    return state.pulls[monitoring["latest_pull_id"]].document.get("account_identifier")


def after(items, key, cursor):
    """The items that follow the one with the cursor's id, all of them without a cursor."""
    keys = [item[key] for item in items]
    if cursor is None:
        return items
    return items[keys.index(cursor) + 1:] if cursor in keys else []


@behaves("get-monitoring")
def get_monitoring(state, call):
    monitoring = the_monitoring(state, call)
    if not call.query["with_pulls"]:
        return {"monitoring": shown(monitoring)}
    if not call.query["limit"].isdigit():
        raise call.reject("VALIDATION_ERROR")
    fields = call.operation.responses["200"]["schema"]["fields"]["pulls"]["items"]["fields"]
    pulls = [state.pulls[pull_id].document for pull_id in reversed(monitoring["pull_ids"])]
    rows = [{**{name: pull.get(name) for name in fields},
             "monitoring_status": SUMMARY_STATUS.get(pull.get("status"), "PROCESSING")} for pull in pulls]
    page = after(rows, "pull_id", call.query["before"])[:int(call.query["limit"])]
    return {"monitoring": shown(monitoring), "pulls": page}


@behaves("patch-monitoring")
def patch_monitoring(state, call):
    monitoring = the_monitoring(state, call)
    if "interval" in call.body and days(call.body["interval"]) < 30:
        raise ApiError("INTERVAL_TOO_SHORT")
    if call.body.get("status", "ACTIVE") not in ("ACTIVE", "STOPPED"):
        raise ApiError("INVALID_MONITORING_ID")
    monitoring.update({name: value for name, value in call.body.items()
                       if name in ("interval", "next_pull_date", "stop_after_date", "status")})
    return {"success": True, "monitoring": shown(monitoring)}


@behaves("delete-monitoring")
def delete_monitoring(state, call):
    monitoring = the_monitoring(state, call)
    monitoring.update(status="STOPPED", next_pull_date=None)
    return {"success": True, "monitoring": shown(monitoring)}


@behaves("post-monitoring-refresh")
def refresh_monitoring(state, call):
    monitoring = the_monitoring(state, call)
    username = state.pulls[monitoring["latest_pull_id"]].username
    if monitoring["status"] != "ACTIVE":
        raise ApiError("MONITORING_INACTIVE")
    if username is None:
        raise ApiError("PULL_NOT_SUPPORTED")
    pull = state.add_pull(username)
    monitoring["pull_ids"].append(pull.pull_id)
    monitoring["latest_pull_id"] = pull.pull_id
    state.announce(pull)
    return {"pull_id": pull.pull_id}


@behaves("get-monitoring-reconnect-token")
def get_reconnect_token(state, call):
    monitoring = the_monitoring(state, call)
    token = monitoring["reconnect_token"]
    return {"pull_id": monitoring["latest_pull_id"], "reconnect_token": token,
            "reconnect_url": f"https://app.usecanopy.com/c/sandbox-link/reconnect?reconnectToken={token}"}


def events_of(state, monitoring):
    """What changed between the last two pulls: only user_good_discover's flood policy, which gains a mortgagee."""
    pull_ids = monitoring["pull_ids"][-2:]
    events = []
    if len(pull_ids) == 2 and state.pulls[pull_ids[1]].username == "user_good_discover":
        events = [{"type": "ENDORSEMENT", "documents": [], "changes": [{"schema": "DWELLING", "type": "UPDATE",
                   **{when: {"mortgagees": state.pulls[pull_id].document["policies"][0]["dwellings"][0]["mortgagees"]}
                      for when, pull_id in zip(("before", "after"), pull_ids)}}]}]
    return events


@behaves("get-monitoring-events")
def get_monitoring_events(state, call):
    monitoring = the_monitoring(state, call)
    pull_ids = monitoring["pull_ids"][-2:]
    return {"previous_pull_id": pull_ids[0], "latest_pull_id": pull_ids[-1], "events": events_of(state, monitoring)}


# Servicings

@behaves("get-servicings")
def get_servicings(state, call):
    chosen = [stored["action"] for stored in state.servicings.values()
              if call.query["pull_id"] in (None, stored["pull_id"])]
    start = call.query["offset"] or 0
    return {"total_servicings": len(chosen), "servicings": chosen[start:start + call.query["limit"]]}


@behaves("get-servicing")
def get_servicing(state, call):
    return found(state.servicings, call.params["servicingActionId"])["action"]


@behaves("post-servicings")
def post_servicings(state, call):
    original = found(state.pulls, call.body["pull_id"])
    pull = state.new_pull(type="SERVICING", status="WAITING_FOR_CONSUMER_CONFIRMATION",
                          account_identifier=original.document.get("account_identifier"))
    return {"pull_id": pull.pull_id, "pull_jwt": state.pull_jwt(pull.pull_id),
            "servicing_action_ids": [state.add_servicing(pull.pull_id, action) for action in call.body["servicing_actions"]]}


@behaves("post-servicing-action")
def confirm_servicing(state, call):
    pull = the_pull(state, call)
    stored = found(state.servicings, call.body["servicing_action_id"])
    if stored["pull_id"] != pull.pull_id:
        raise ApiError("NOT_FOUND")
    if stored["action"]["status"] != "WAITING_FOR_CONSUMER_CONFIRMATION":
        raise ApiError("INVALID_ACTION")
    stored["action"]["status"] = "VERIFIED" if call.body["is_confirmed"] else "UNCONFIRMED"
    pull.change(status="SUCCESS")
    return {"pull_id": pull.pull_id}


# Enrichment and policy check settings

@behaves("get-property-data")
def get_property_data(state, call):
    if not (call.query["address"] or "").strip():
        raise ApiError("INVALID_ADDRESS")
    if "nowhere" in call.query["address"].lower():
        raise ApiError("NO_PROPERTY_DATA")
    return sampled(state, call)


def identified(state, call):
    """Drivers are looked up by date of birth or by licence number and state."""
    query = call.query
    if not query["date_of_birth_str"] and not (query["drivers_license"] and query["drivers_license_state"]):
        raise call.reject("VALIDATION_ERROR")
    return sampled(state, call)


behaves("get-enrichment-drivingrecordiq")(identified)


@behaves("get-enrichment-household")
def get_household(state, call):
    household = identified(state, call)
    return household if call.query["lookup_vehicles"] else {**household, "vehicles": []}


@behaves("get-policy-check-team-settings")
def get_check_settings(state, call):
    """The settings in both places that the documentation names."""
    settings = state.policy_check_settings
    return {"success": True, "policy_check_settings": settings, **settings}


@behaves("post-policy-check-team-settings")
def post_check_settings(state, call):
    for kind, wanted in call.body.get("policy_check_settings", {}).items():
        state.policy_check_settings[kind] = {**state.policy_check_settings.get(kind, {}), **wanted}
    return get_check_settings(state, call)


# Widgets

def the_widget(state, call):
    return found(state.widgets, call.params["widgetId"])


def check_alias(state, call, own=None):
    alias = call.body.get("public_alias")
    if alias is not None and alias != own and state.has_alias(alias):
        raise ApiError("ALREADY_EXISTS")


def widget_fields(call):
    declared = call.operation.body["schema"]["fields"].keys() - {"agents"}
    return {name: value for name, value in call.body.items() if name in declared}


@behaves("get-widgets")
def get_widgets(state, call):
    page = after(list(state.widgets.values()), "widget_id", call.query["before"])
    return {"success": True, "widgets": page[:call.query["limit"]]}


@behaves("post-widgets")
def post_widget(state, call):
    check_alias(state, call)
    widget = state.add_widget(state.new_id(), len(state.widgets) + 1, **widget_fields(call))
    return {"success": True, "widget": widget}


@behaves("get-widgetId")
def get_widget(state, call):
    return {"success": True, "widget": the_widget(state, call)}


@behaves("patch-widgetId")
def patch_widget(state, call):
    widget = the_widget(state, call)
    check_alias(state, call, widget["public_alias"])
    widget.update(widget_fields(call))
    return {"success": True, "widget": widget}


@behaves("delete-widgetId")
def delete_widget(state, call):
    del state.widgets[the_widget(state, call)["widget_id"]]
    return {"success": True}


def put_image(state, call, part, field):
    widget = the_widget(state, call)
    if part not in call.body:
        raise ApiError("INVALID_INPUT")
    widget[field] = f"https://canopy.test/{part}/{widget['widget_id']}.png"
    return {"success": True, "widget": widget}


behaves("put-widgetId-logo")(lambda state, call: put_image(state, call, "logo", "logo_src"))
behaves("put-widgetId-icon")(lambda state, call: put_image(state, call, "icon", "icon_src"))


# Teams

@behaves("get-team")
def get_team(state, call):
    team = state.teams[call.params["teamId"]]
    return {"team_id": call.params["teamId"], "company_name": team["company_name"], "client_id": team["client_id"]}


@behaves("create-team")
def create_team(state, call):
    team_id, client_id = state.new_id(), state.new_id()
    secret = state.sign(client_id)
    name = call.body.get("company_name", "New team")
    state.teams[team_id] = {"client_id": client_id, "client_secret": secret, "company_name": name, "active": True}
    return {"client_id": client_id, "client_secret": secret, "team": {"team_id": team_id, "company_name": name}}


@behaves("delete-team")
def delete_team(state, call):
    state.teams[call.params["teamId"]]["active"] = False
    return {"success": True}
