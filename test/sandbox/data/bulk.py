"""Many distinct, realistic pulls of about one size, for load and for benchmarks."""

from data import pools, users
from data.entities import PullBuilder
from net.wire import compact

TEAM_ID = "7e57ab1e-0000-4000-8000-000000000001"
TOLERANCE = 0.05
VEHICLE_BYTES = 4_350
REST_BYTES = 13_600


def build(seed, number, size, accounts):
    """One pull as compact JSON bytes, of the wanted size give or take the tolerance.

    It starts with an auto and a home policy and as many vehicles as fit; policy forms, which are small,
    fill the rest. The least possible is about 18,000 bytes.
    """
    pull = PullBuilder(seed, f"bulk-{number}", TEAM_ID, users.TODAY)
    if accounts:
        pull.pull["account_identifier"] = f"account-{number % accounts}"
    vehicles = max(1, min(40, (size - REST_BYTES) // VEHICLE_BYTES))
    pull.drivers(1)
    users.auto(pull, vehicles=vehicles, coverages=pools.AUTO_COVERAGES[:5])
    users.home(pull, property_data=False)
    document = users.finish(pull)
    return fill(pull, document, size)


def fill(pull, document, size):
    """Grows the last policy's list of forms until the pull is large enough."""
    forms = document["policies"][-1]["forms_and_endorsements"]
    text = compact(document)
    while len(text) < size * (1 - TOLERANCE):
        step = len(compact(pull.form("Endorsement 1000", "EN 10000", "ENDORSEMENT", None))) + 1
        for _ in range(max(1, (size - len(text)) // step)):
            position = len(forms)
            forms.append(pull.form(f"Endorsement {position:04d}", f"EN {position:05d}", "ENDORSEMENT", None))
        text = compact(document)
    return text
