"""The sandbox users: each username is a recipe for one pull."""

import datetime

from data import pools
from data.entities import PullBuilder, entity


def auto(build, vehicles=2, coverages=pools.AUTO_COVERAGES, **known):
    policy = build.policy("AUTO", "Personal Auto", months=6, effective=datetime.date(2025, 11, build.data.randint(1, 28)),
                          is_telematics_enabled=False, **known)
    policy["vehicles"] = [build.vehicle(coverages=coverages) for _ in range(vehicles)]
    policy["forms_and_endorsements"] = build.forms()
    build.document("Auto Declarations", "DECLARATIONS", policy)
    build.document("Insurance ID Card", "INSURANCE_ID_CARD", policy, "image/jpeg")
    build.settle(policy)
    if coverages and build.cities is not pools.TEXAS:
        build.claim(policy, "CAR_ACCIDENT", vehicle=policy["vehicles"][0])
        build.driving_record()
    return policy


def home(build, factor=1.0, property_data=True, kind="HOMEOWNERS", name="Homeowners", limit_factor=1):
    policy = build.policy(kind, name, deductible_cents=100000)
    policy["dwellings"] = [build.dwelling(factor=factor, property_data=property_data)]
    policy["dwellings"][0]["coverages"][0]["per_incident_limit_cents"] *= limit_factor
    policy["forms_and_endorsements"] = build.forms(3)
    build.document(f"{name} Declarations", "DECLARATIONS", policy)
    build.settle(policy)
    if build.cities is not pools.TEXAS:
        build.claim(policy, "WATER_DAMAGE_AND_FREEZING", dwelling=policy["dwellings"][0], is_open=True)
    return policy


def flood(build, expires_in=None):
    known = {}
    if expires_in is not None:
        expiry = build.today + datetime.timedelta(days=expires_in)
        known["effective"] = datetime.date(expiry.year - 1, expiry.month, min(expiry.day, 28))
    policy = build.policy("FLOOD", "Flood", **known)
    if expires_in is not None:
        policy["expiry_date"] = policy["renewal_date"] = f"{expiry.isoformat()}T05:00:00.000Z"
        policy["status"] = "ACTIVE" if expires_in > 0 else "EXPIRED"
    policy["dwellings"] = [build.dwelling(pools.FLOOD_COVERAGES)]
    build.document("Flood Declarations", "DECLARATIONS", policy)
    return build.settle(policy)


def landlord(build):
    policy = home(build, kind="LANDLORD", name="Dwelling Fire")
    policy["additional_interests"] = [build.additional_interest("PROPERTY_MANAGER")]


def umbrella(build):
    build.settle(build.policy("UMBRELLA", "Personal Umbrella", total_premium_cents=31200))


def motorhome(build):
    policy = build.policy("RECREATIONAL_VEHICLE", "Motorhome")
    policy["vehicles"] = [build.vehicle(pools.MOTORHOMES, type="RV", serial_number=build.data.digits(8))]
    build.settle(policy)


def boat(build):
    policy = build.policy("BOAT", "Watercraft")
    policy["vehicles"] = [build.vehicle(type="BOAT", vin=None, hin="SERV" + build.data.digits(8), make="SEA RAY",
                                        model="SUNDANCER", series="320", series2="OUTBOARD")]
    build.settle(policy)


def limited(build):
    """A policy of which the carrier shows no details."""
    build.policy("PERSONAL_ARTICLES", "Valuables", limited_access=True, effective_date=None, expiry_date=None,
                 renewal_date=None, status="UNVERIFIED", payment_frequency=None)
    build.pull["skipped_product_types"] = ["commercial"]


def life(build, kind, name, riders):
    policy = build.policy(kind, name, payment_frequency="ANNUALLY", total_premium_cents=build.data.randint(40, 240) * 1000)
    face = build.data.randint(10, 100) * 1000000
    owner = f"{build.first_name} {build.last_name}"
    shared = {"policy_id": policy["policy_id"], "pull_id": build.pull_id}
    has_cash = kind != "TERM_LIFE"
    day = "2025-12-31T05:00:00.000Z"
    details = entity(
        "LifePolicyDetails", life_policy_details_id=build.ids.uuid(), **shared, face_amount_cents=face,
        death_benefit_amount_cents=face, policy_owner_first_name=build.first_name, policy_owner_middle_name=None,
        policy_owner_last_name=build.last_name, policy_owner_full_name=owner, policy_payor_first_name=build.first_name,
        policy_payor_last_name=build.last_name, policy_payor_full_name=owner,
        policy_owner_address=build.residence(), policy_payor_address=build.residence())
    if has_cash:
        details.update(
            total_cash_value_cents=face // 8, total_loan_balance_cents=face // 80, dividend_option="PAID_UP_ADDITIONS",
            total_accumulated_dividend_cents=face // 100, total_surrender_value_cents=face // 9,
            loan_variable_interest_rate_percent=5.25, paid_up_date="2045-06-01T04:00:00.000Z",
            total_accumulated_dividend_on_date=day, total_loan_balance_on_date=day, total_cash_value_on_date=day,
            total_surrender_value_on_date=day)
    people = (("PRIMARY", "SPOUSE", 60.0), ("SUCCESSOR", "DAUGHTER", 25.5), ("FINAL", "SON", 14.5))
    policy["life"] = entity(
        "LifePolicy", life_policy_details=details,
        life_policy_riders=[entity("LifePolicyRider", life_policy_rider_id=build.ids.uuid(), **shared, name=rider,
                                   friendly_name=rider.replace("_", " ").title(),
                                   effective_date=policy["effective_date"], expiry_date=policy["expiry_date"])
                            for rider in riders],
        life_policy_beneficiaries=[beneficiary(build, policy, shared, *person) for person in people])
    build.document("Life Policy", "VERIFICATION_OF_INSURANCE", policy)
    build.settle(policy)


def beneficiary(build, policy, shared, kind, relationship, percent):
    first = build.data.choice(pools.FIRST_NAMES)
    return entity("LifePolicyBeneficiary", life_policy_beneficiary_id=build.ids.uuid(), **shared, type=kind,
                  named_insured_id=policy["named_insureds"][0]["named_insured_id"], first_name=first,
                  last_name=build.last_name, full_name=f"{first} {build.last_name}",
                  relationship_to_insured=relationship, designation="PER_STIRPES", distribution_percent=percent)


def term_life(build):
    life(build, "TERM_LIFE", "Term Life", ["WAIVER_OF_PREMIUM", "CHILD_TERM"])


def whole_life(build):
    life(build, "WHOLE_LIFE", "Whole Life", ["ACCIDENTAL_DEATH", "GUARANTEED_INSURABILITY"])


def universal_life(build):
    life(build, "UNIVERSAL_LIFE", "Universal Life", ["LEVEL_DEATH_BENEFIT", "LONG_TERM_CARE"])


def commercial_package(build):
    policy = build.policy("COMMERCIAL_PACKAGE", "Commercial Package", form_of_business="LIMITED_LIABILITY_COMPANY",
                          payment_frequency="QUARTERLY")
    policy["locations"] = [build.location(), build.location()]
    policy["commercial_named_insureds"] = [build.commercial_named_insured(policy["locations"][0])]
    policy["additional_interests"] = [build.additional_interest(), build.additional_interest("CERTIFICATE_HOLDER")]
    build.document("Commercial Declarations", "DECLARATIONS", policy)
    build.document("Loss Run", "LOSS_RUN", policy)
    build.settle(policy)
    build.loss_event(policy, "CUSTOMER_SLIPS_AND_FALLS")
    build.loss_event(policy, "FIRE")


def workers_compensation(build):
    policy = build.policy("WORKERS_COMPENSATION", "Workers Compensation", form_of_business="CORPORATION")
    location = build.location()
    location.update(coverages=[], mortgagees=[], property_data=None,
                    operations=[build.operation("8810", "Clerical office employees"),
                                build.operation("2003", "Bakery employees and drivers")])
    policy["locations"] = [location]
    premium = sum(operation["estimated_annual_premium_cents"] for operation in location["operations"])
    policy.update(total_premium_cents=premium, total_estimated_annual_premium_cents=premium,
                  total_minimum_premium_cents=75000, total_deposit_premium_cents=premium // 4)
    policy["commercial_named_insureds"] = [build.commercial_named_insured(location)]
    build.settle(policy)


def commercial_auto(build):
    policy = build.policy("COMMERCIAL_AUTO", "Commercial Auto", form_of_business="CORPORATION")
    policy["vehicles"] = [build.vehicle(pools.TRUCKS, type="TRUCK", uses=["BUSINESS"]) for _ in range(3)]
    build.settle(policy)
    build.loss_event(policy, "VEHICULAR_ACCIDENT")


def inland_marine(build):
    build.settle(build.policy("INLAND_MARINE", "Motor Truck Cargo", total_premium_cents=418000))


# Whole accounts

def good(build):
    auto(build)
    home(build)


def complete(build, second_auto="CANCELLED"):
    good(build)
    later = auto(build, vehicles=1, status=second_auto)
    if second_auto == "CANCELLED":
        later["canceled_date"] = "2025-12-20T05:00:00.000Z"
    for part in (flood, umbrella, motorhome, boat, landlord, term_life, limited):
        part(build)
    build.pull["funnel"] = entity("PullFunnel", premium=1890.5, stage="WORKING", assignee=entity(
        "PullAssignee", agent_id=build.ids.uuid(), email="agent@example.com", first_name="Robin", last_name="Marsh"))


def rater(build):
    """Premiums of liability coverages given once for a group, and many endorsements."""
    auto(build)
    policy = build.pull["policies"][0]
    grouped = [coverage for vehicle in policy["vehicles"] for coverage in vehicle["coverages"]
               if coverage["name"].endswith("LIABILITY")]
    group_id, total = build.ids.uuid(), sum(coverage["premium_cents"] for coverage in grouped)
    for coverage in grouped:
        coverage.update(premium_group_id=group_id, premium_cents=None)
    policy["premium_groups"] = [entity("PremiumGroup", premium_group_id=group_id, premium_cents=total,
                                       vehicle_coverage_ids=",".join(coverage["vehicle_coverage_id"] for coverage in grouped))]
    home(build)["forms_and_endorsements"] = build.forms(len(pools.FORMS))


def checked(build, status, found):
    """An auto account with the result of a policy check."""
    policy = auto(build)
    build.pull["policy_check_status"] = status
    policy["policy_check"] = entity("PolicyCheck", status=status, details={
        "status": status, "actual": {"COLLISION_DEDUCTIBLE_CENTS": found},
        "expected": {"MAX_COLLISION_DEDUCTIBLE_CENTS": 100000}})


def discover(build):
    """A flood account whose second pull has one mortgagee more."""
    policy = flood(build)
    if build.number:
        policy["dwellings"][0]["mortgagees"].append(build.mortgagee("SECOND"))


def agent(build):
    """An agent's book: several insureds on one pull."""
    build.pull["type"] = "AGENT"
    insureds = [auto(build), home(build), flood(build)]
    for policy in insureds[1:]:
        policy["named_insureds"].append(entity(
            "NamedInsured", named_insured_id=build.ids.uuid(), first_name="Morgan", last_name="Ellery",
            full_name="Morgan Ellery", is_primary_named_insured=False))
    build.document("Notice of Cancellation", "NOTICE_OF_CANCELLATION", insureds[0])
    build.document("Billing Notes", "NOTES", insureds[1])
    build.agent(*insureds)


def texas(build):
    build.cities = pools.TEXAS
    good(build)


def consumer_only(build):
    build.pull.update(type="MANUAL_ENTRY", insurance_provider_name=None, insurance_provider_friendly_name=None,
                      account_identifier=None)
    build.answers()


def behind_mfa(build):
    build.pull["encountered_mfa"] = True


def several(*parts):
    """A recipe that runs some parts in order."""
    def recipe(build):
        for part in parts:
            part(build)
    return recipe


def nothing(build):
    """A profile without policies."""


def stopped(status, message=None, mfa=False, kind="PULLING_DATA"):
    """A pull that ended, or waits, before any data came."""
    def recipe(build):
        build.pull.update(status=status, encountered_mfa=mfa, type=kind)
        if message:
            build.pull.update(login_error_message=message, email="typed@example.com")
    return recipe


RECIPES = {
    "user_good": good,
    "user_mfa": stopped("IDENTITY_VERIFICATION_OPTIONS", mfa=True),
    "user_optionless_mfa": stopped("IDENTITY_VERIFICATION", mfa=True),
    "user_good_commercial": several(commercial_package, workers_compensation),
    "user_good_flood": several(flood, home),
    "user_good_flood_only": flood,
    "user_good_flood_expiring": lambda build: flood(build, expires_in=15),
    "user_good_flood_expired": lambda build: flood(build, expires_in=-15),
    "user_good_discover": discover,
    "user_adams": several(flood, home),
    "user_locked": stopped("NOT_AUTHENTICATED", "Your account is locked. <a href=\"https://carrier.example/unlock\">Unlock it</a>"),
    "user_unactivated": stopped("NOT_AUTHENTICATED", "Please activate your online account first."),
    "user_good_expensive": lambda build: home(build, factor=2.45),
    "user_good_underinsured": lambda build: home(build, limit_factor=2),
    "user_good_home": home,
    "user_good_home_no_pd": lambda build: home(build, property_data=False),
    "user_good_auto": auto,
    "user_good_landlord": landlord,
    "user_good_auto_compliant": lambda build: checked(build, "COMPLIANT", 50000),
    "user_good_auto_noncompliant": lambda build: checked(build, "NOT_COMPLIANT", 250000),
    "user_good_partial_auto": lambda build: auto(build, coverages=(), total_premium_cents=128400),
    "user_good_no_policies": nothing,
    "user_provider_error": stopped("PROVIDER_ERROR"),
    "user_internal_error": stopped("INTERNAL_ERROR"),
    "user_good_complete": complete,
    "user_good_complete_mfa": several(complete, behind_mfa),
    "user_good_complete_active": lambda build: complete(build, second_auto="ACTIVE"),
    "user_good_transportation": several(commercial_auto, inland_marine),
    "user_good_life": several(term_life, whole_life, universal_life),
    "user_good_term_life": term_life,
    "user_good_whole_life": whole_life,
    "user_good_universal_life": universal_life,
    "user_good_agent": agent,
    "user_good_diffs": good,
    "user_standard": several(good, umbrella, motorhome, flood),
    "user_good_rater": rater,
    "user_random_policy_number": lambda build: auto(build, random_policy_number=True),
    "user_good_tx": texas,
    "user_consumer_data": several(good, PullBuilder.answers),
    "user_consumer_only": consumer_only,
    "user_servicing_verification": home,
    "user_bad": stopped("NOT_AUTHENTICATED"),
}
TODAY = datetime.date(2026, 3, 1)


def build_pull(seed, username, team_id, today=TODAY, number=0, pull_id=None):
    """The pull of a sandbox user; `number` counts refreshes of the account."""
    build = PullBuilder(seed, username, team_id, today, number, pull_id)
    RECIPES[username](build)
    return finish(build)


def finish(build):
    """Adds what all accounts have, unless the pull stopped early."""
    pull = build.pull
    if pull["status"] == "SUCCESS" and pull["policies"] and not pull["agents"]:
        build.agent(*pull["policies"])
    if build.data.chance(0.5):
        pull["meta_data"] = f'{{"customer_id":"C-{build.data.digits(4)}"}}'
    return build.finish()
