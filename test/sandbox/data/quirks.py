"""A pull that shows, all at once, how real answers depart from their declared types."""

import copy

from data import users

SEED = "quirks"
TEAM_ID = "7e57ab1e-0000-4000-8000-000000000001"


def build():
    """The quirky pull: valid JSON, but not what the schemas say."""
    pull = users.build_pull(SEED, "user_good_complete", TEAM_ID)
    auto, home = pull["policies"][:2]
    vehicle, other_vehicle = auto["vehicles"]
    dwelling = home["dwellings"][0]
    odd_ids(pull, auto, vehicle)
    odd_numbers(auto, vehicle, dwelling)
    odd_dates(auto, home)
    odd_shapes(pull, auto, vehicle)
    undeclared(pull, auto, other_vehicle, dwelling)
    emptiness(pull, auto)
    return pull


def odd_ids(pull, auto, vehicle):
    """Ids that are no RFC 4122 UUIDs: a digit short, a wrong variant, a number, plain text."""
    pull["pull_id"] = "3f2504e0-4f89-11d3-0a0c-0305e82c330"
    auto["policy_id"] = "9b2c1f34-5a6b-4c7d-0e8f-112233445566"
    vehicle["vehicle_id"] = "vehicle/1 of 2"
    pull["drivers"][0]["driver_id"] = 4711
    pull["policies"][2]["policy_id"] = auto["policy_id"].upper()


def odd_numbers(auto, vehicle, dwelling):
    """Numbers as strings, percents as strings and as numbers, integers with a fraction, beyond 32 bits."""
    auto["total_premium_cents"] = str(auto["total_premium_cents"])
    auto["amount_paid_cents"] = 75208.0
    vehicle["year"] = "2021"
    vehicle["annual_mileage"] = "12,000"
    vehicle["coverages"][0]["per_incident_limit_cents"] = 9007199254740991
    vehicle["coverages"][1]["premium_cents"] = "N/A"
    vehicle["coverages"][2]["premium_cents"] = 1.5e4
    dwelling["coverages"][7]["deductible_percent"] = "2.500"
    dwelling["coverages"][1]["per_incident_limit_percent"] = 10
    dwelling["coverages"][8]["deductible_percent"] = "2%"


def odd_dates(auto, home):
    """Dates with and without time and zone, with offsets, and in US notation."""
    auto.update(effective_date="2025-11-01T06:00:00.000Z", expiry_date="2026-05-01", renewal_date="2026-05-01T00:00:00",
                last_payment_date="2026-01-15T23:30:00-05:00", canceled_date="")
    home.update(effective_date="2025-07-04T04:00:00.000Z", expiry_date="07/04/2026", renewal_date="0000-00-00")


def odd_shapes(pull, auto, vehicle):
    """An array for a string and the other way round, an object for a string, text for a boolean, single for array."""
    pull["meta_data"] = {"customer_id": "C-1001", "nested": {"list": [1, "two", None]}}
    auto["premium_groups"] = [
        {"premium_group_id": "g-1", "premium_cents": 40100, "vehicle_coverage_ids": [
            coverage["vehicle_coverage_id"] for coverage in vehicle["coverages"][:2]]},
        {"premium_group_id": "g-2", "premium_cents": 1999, "vehicle_coverage_ids": vehicle["coverages"][2]["vehicle_coverage_id"]}]
    auto["name"] = ["Personal", "Auto"]
    auto["is_monoline"] = "false"
    auto["paid_in_full"] = 1
    vehicle["uses"] = "COMMUTE"
    vehicle["features"] = []
    pull["drivers"][1]["drivers_license"] = {"number": "D1234567", "state": "TX"}
    pull["documents"] = {"0": pull["documents"][0]}
    pull["claims"] = None


def undeclared(pull, auto, vehicle, dwelling):
    """Fields and enum members that no schema declares, and keys in another case."""
    vehicle["GaragingAddress"] = copy.deepcopy(vehicle["garaging_address"])
    vehicle["LienHolderAddress"] = None
    vehicle["coverages"][0]["name"] = "TELEPORTATION_LIABILITY"
    auto["policy_type"] = "SPACECRAFT"
    auto["status"] = "PARTIALLY_CANCELLED"
    auto["deleted_at"] = None
    dwelling["deleted_at"] = "2026-01-02T03:04:05.000Z"
    dwelling["property_data_fetched"] = True
    pull["status"] = "WAITING_FOR_CARRIER"
    pull["agents"] = [{"agent_info_id": "a-1", "licences": ["TX", "OK"]}]
    pull["sustainability_score"] = {"value": 0.7}


def emptiness(pull, auto):
    """Empty strings for null, fields left out, null where an array belongs."""
    pull.update(home_phone="", email="", insurance_provider_friendly_name="")
    auto["named_insureds"][0].update(middle_name="", email="", work_phone="")
    auto["carrier_policy_number"] = ""
    del auto["description"], auto["locations"]
    auto["additional_interests"] = None


def with_string_meta_data():
    """The same pull with its metadata as a JSON text instead of an object."""
    pull = build()
    pull["meta_data"] = '{"customer_id":"C-1001","nested":{"list":[1,"two",null]}}'
    return pull
