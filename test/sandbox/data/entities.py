"""Builds one pull piece by piece, every entity with all the fields that its schema declares.

Ids come from the stream of this particular pull, everything else from the stream of the account:
two pulls of one account hold the same data under different ids.
"""

import copy
import datetime

from data import pools
from data.catalogue import SCHEMAS, resolve
from data.source import Source, add_months, instant, midnight, named_uuid

EPOCH = datetime.date(2026, 1, 15)
DOCUMENT_BASE = "https://api.canopy.test/api/v1.0.0"
FRIENDLY = {schema: dict(zip(SCHEMAS[schema]["fields"]["name"]["enum"], SCHEMAS[schema]["fields"]["friendly_name"]["enum"]))
            for schema in ("VehicleCoverage", "DwellingCoverage", "LocationCoverage")}
ID_FIELD = {"VehicleCoverage": "vehicle_coverage_id", "DwellingCoverage": "dwelling_coverage_id",
            "LocationCoverage": "location_coverage_id"}
VIN_VALUES = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", (*range(1, 9), *range(1, 6), 7, 9, *range(2, 10), *range(10))))
VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
YEAR_CODES = dict(zip(range(2010, 2031), "ABCDEFGHJKLMNPRSTVWXY"))


def default(node):
    """What a field holds when nothing is known: null where allowed, else an empty value."""
    node = resolve(node)
    if node.get("nullable") or "any" in node:
        return None
    return {"array": [], "object": {}, "boolean": False, "integer": 0, "number": 0}.get(node["type"], "")


TEMPLATES = {name: {field: default(node) for field, node in schema.get("fields", {}).items()}
             for name, schema in SCHEMAS.items()}
MUTABLE = {name: [field for field, value in template.items() if isinstance(value, (list, dict))]
           for name, template in TEMPLATES.items()}


def entity(schema, **known):
    """An entity of a schema with the known fields set; a field that is not declared is a KeyError."""
    made = dict(TEMPLATES[schema])
    for field in MUTABLE[schema]:
        made[field] = type(made[field])()
    for field, value in known.items():
        if field not in made:
            raise KeyError(f"{schema}.{field}")
        made[field] = value
    return made


class PullBuilder:
    """A pull under construction and the people, dates and premiums that belong together in it."""

    def __init__(self, seed, username, team_id, today, number=0, pull_id=None):
        self.data = Source(seed, username)
        self.ids = Source(seed, username, "ids", number)
        self.number = number
        self.today = today
        self.cities = pools.CITIES
        self.first_name, self.last_name = self.data.choice(pools.FIRST_NAMES), self.data.choice(pools.LAST_NAMES)
        self.carrier_id, self.carrier_name = self.data.choice(pools.CARRIERS)[:2]
        self.pull_id = pull_id or pull_id_of(seed, username, number)
        email = f"{self.first_name}.{self.last_name}@example.com".lower().replace("'", "")
        self.pull = entity(
            "Pull", pull_id=self.pull_id, status="SUCCESS", account_identifier=named_uuid(seed, username, "account"),
            first_name=self.first_name, last_name=self.last_name, account_email=email, phone=self.data.phone(),
            mobile_phone=self.data.phone(), home_phone="", insurance_provider_name=self.carrier_id,
            insurance_provider_friendly_name=self.carrier_name, team_id=team_id,
            widget_id=named_uuid(seed, "widget", 1), public_alias="sandbox-link",
            public_url="https://app.usecanopy.com/c/sandbox-link", type="PULLING_DATA", policy_check_status="NONE",
            created_at=instant(EPOCH + datetime.timedelta(days=self.data.randint(-14, 14) + 30 * number),
                               self.data.randint(13, 23), self.data.randint(0, 59), self.data.randint(0, 59)))
        self.home_address = None

    # People and places

    def address(self, nature, shared=True):
        """A new address; `shared` ones are also listed on the pull."""
        city, state, zip_start = self.data.choice(self.cities)
        number, street = str(self.data.randint(10, 9899)), self.data.choice(pools.STREETS)
        kind = self.data.choice(pools.STREET_TYPES)
        zip_code = zip_start + self.data.digits(2)
        made = entity("Address", address_id=self.ids.uuid(), address_nature=nature, country="US", number=number,
                      street=street, type=kind, city=city, state=state, zip=zip_code,
                      full_address=f"{number} {street} {kind}, {city}, {state} {zip_code}")
        if self.data.chance(0.2):
            made.update(sec_unit_type="Apt", sec_unit_num=str(self.data.randint(1, 40)), prefix="N")
        if shared:
            self.pull["addresses"].append(made)
        return made

    def residence(self):
        """The account holder's home, made once."""
        if self.home_address is None:
            self.home_address = self.address("PHYSICAL")
        return self.home_address

    def driver(self, first_name=None, relationship="INSURED"):
        born = datetime.date(self.data.randint(1955, 2004), self.data.randint(1, 12), self.data.randint(1, 28))
        made = entity(
            "Driver", driver_id=self.ids.uuid(), first_name=first_name or self.data.choice(pools.FIRST_NAMES),
            middle_name=self.data.choice((None, "J", "Lee", "")), last_name=self.last_name,
            drivers_license=self.data.choice("ABDKMS") + self.data.digits(8), drivers_license_state=self.residence()["state"],
            date_of_birth_str=born.strftime("%m/%d/%Y"), gender=self.data.choice(("MALE", "FEMALE", "NONBINARY")),
            marital_status=self.data.choice(("SINGLE", "MARRIED", "DIVORCED")), relationship_to_insured=relationship,
            age=EPOCH.year - born.year, age_on_date=EPOCH.isoformat(),
            education=self.data.choice(("BACHELORS", "HIGH_SCHOOL", "MASTERS")),
            occupation=self.data.choice(pools.OCCUPATIONS), age_licensed=self.data.randint(16, 24))
        self.pull["drivers"].append(made)
        return made

    def drivers(self, count=2):
        """The household's drivers, the account holder first; made once."""
        if not self.pull["drivers"]:
            self.driver(self.first_name)
            for relationship in ("SPOUSE", "SON", "DAUGHTER")[:count - 1]:
                self.driver(relationship=relationship)
        return self.pull["drivers"]

    def named_insured(self):
        return entity("NamedInsured", named_insured_id=self.ids.uuid(), first_name=self.first_name,
                      last_name=self.last_name, full_name=f"{self.first_name} {self.last_name}",
                      is_primary_named_insured=True, email=self.pull["account_email"], home_phone="",
                      mobile_phone=self.pull["mobile_phone"])

    def agent(self, *policies):
        office = self.address("AGENCY_LOCATION")
        self.pull["agents"].append(entity(
            "AgentInfo", agent_info_id=self.ids.uuid(), address_id=office["address_id"],
            agency_name=self.data.choice(pools.AGENCIES), phone_number=self.data.phone(),
            agent_full_name=f"{self.data.choice(pools.FIRST_NAMES)} {self.data.choice(pools.LAST_NAMES)}",
            email="service@agency.example", policy_ids=[policy["policy_id"] for policy in policies]))

    # Policies

    def policy(self, policy_type, name, months=12, effective=None, **known):
        """A policy without premium; `settle` adds that once its coverages are there."""
        effective = effective or datetime.date(2025, self.data.randint(9, 12), self.data.randint(1, 28))
        expiry = add_months(effective, months)
        numbers = self.ids if "random_policy_number" in known else self.data
        known.pop("random_policy_number", None)
        made = entity("Policy", policy_id=self.ids.uuid(), name=name, policy_type=policy_type,
                      description=f"{name} policy of {self.first_name} {self.last_name}",
                      carrier_policy_number=f"{policy_type[:2]}{numbers.digits(9)}", status="ACTIVE",
                      effective_date=midnight(effective), expiry_date=midnight(expiry), renewal_date=midnight(expiry),
                      carrier_name=self.carrier_id, carrier_friendly_name=self.carrier_name,
                      state=self.residence()["state"], is_monoline=False, payment_frequency="MONTHLY",
                      named_insureds=[self.named_insured()])
        made.update(known)
        self.pull["policies"].append(made)
        return made

    def settle(self, policy):
        """Sets the policy's premium to the sum of its parts, a fraction of it paid."""
        groups = sum(group["premium_cents"] or 0 for group in policy["premium_groups"])
        coverages = sum(coverage["premium_cents"] or 0
                        for part in (*policy["vehicles"], *policy["dwellings"], *policy["locations"])
                        for coverage in part["coverages"])
        total = policy["total_premium_cents"] or groups + coverages
        paid = total * self.data.randint(1, 4) // 4
        policy.update(total_premium_cents=total, amount_paid_cents=paid, amount_due_cents=total - paid,
                      paid_in_full=paid == total, last_payment_date=instant(EPOCH, 12))
        return policy

    def coverages(self, schema, table, factor=1.0):
        return [self.coverage(schema, name, premium, fields, factor) for name, premium, fields in table]

    def coverage(self, schema, name, premium, fields, factor=1.0):
        return entity(schema, **{ID_FIELD[schema]: self.ids.uuid()}, name=name, friendly_name=FRIENDLY[schema][name],
                      premium_cents=round(self.data.randint(*premium) * factor) if premium else None, **fields)

    def vehicle(self, models=pools.CARS, coverages=pools.AUTO_COVERAGES, **known):
        make, model, series, prefix, price = self.data.choice(models)
        year = self.data.randint(2016, 2025)
        drivers = self.drivers()
        made = entity("Vehicle", vehicle_id=self.ids.uuid(), year=year, make=make, model=model, series=series,
                      type="CAR", annual_mileage=self.data.randint(4, 16) * 1000,
                      current_mileage=self.data.randint(5, 120) * 1000, vin=self.vin(prefix, year),
                      uses=[self.data.choice(("COMMUTE", "PLEASURE", "PERSONAL"))],
                      purchase_date=midnight(datetime.date(year, self.data.randint(1, 12), 15)), ownership_type="OWN",
                      features=self.data.sample(pools.FEATURES, 3), garaging_address=copy.copy(self.residence()),
                      coverages=self.coverages("VehicleCoverage", coverages, price / 30000))
        if self.data.chance(0.5):
            made.update(ownership_type="FINANCE", lien_holder=self.data.choice(pools.LENDERS),
                        lien_holder_address=self.address("LIENHOLDER"))
        for position, driver in enumerate(drivers):
            made["drivers"].append(entity("VehicleDriver", **driver, is_primary=position == 0))
        made.update(known)
        return made

    def vin(self, prefix, year):
        """A vehicle identification number with a right check digit."""
        body = prefix + "0" + YEAR_CODES[year] + self.data.choice("ABCDEFGH") + self.data.digits(6)
        check = sum(VIN_VALUES[letter] * weight for letter, weight in zip(body, VIN_WEIGHTS)) % 11
        return prefix + "0123456789X"[check] + body[9:]

    def mortgagee(self, kind="FIRST"):
        return entity("Mortgagee", mortgagee_id=self.ids.uuid(), mortgagee_name=self.data.choice(pools.LENDERS),
                      mortgagee_address=self.address("MORTGAGEE"), mortgagee_type=kind,
                      mortgage_loan_number=self.data.digits(10))

    def dwelling(self, table=pools.HOME_COVERAGES, factor=1.0, address=None, property_data=True):
        first = self.mortgagee()
        cost = self.data.randint(250, 600) * 100000
        made = entity("Dwelling", dwelling_id=self.ids.uuid(), address=copy.copy(address or self.residence()),
                      coverages=self.coverages("DwellingCoverage", table, factor), mortgagees=[first],
                      mortgagee_name=first["mortgagee_name"], mortgagee_address=first["mortgagee_address"],
                      mortgage_loan_number=first["mortgage_loan_number"], replacement_cost_cents=cost,
                      cash_value_cents=cost * 4 // 5, loss_settlement_type="REPLACEMENT_COST",
                      extended_replacement_cost_percent=25, total_replacement_cost_cents=cost * 5 // 4,
                      is_replacement_cost_cents_derived=True)
        if property_data:
            made["property_data"] = self.property_data(made["dwelling_id"])
        return made

    def property_data(self, dwelling_id):
        """Public-record facts; the pull holds them, an answer shows them only on request."""
        land, building = self.data.randint(60, 200) * 100000, self.data.randint(150, 500) * 100000
        return entity("PropertyData", property_data_id=self.ids.uuid(), dwelling_id=dwelling_id,
                      apn=self.data.digits(10), **{"class": "CONDOMINIUM_RESIDENTIAL"}, sub_type="RESIDENTIAL",
                      year_built=self.data.randint(1950, 2020), construction_type="BRICK_FRAME", frame_type="WOOD",
                      foundation_type="CONCRETE", roof_cover="ASPHALT", roof_shape="DORMER", wall_type="$2X4_FRAME",
                      cooling_type="AC_CENTRAL", heating_type="FORCED_AIR", heating_fuel="GAS", energy_type="AVERAGE",
                      sewer_type="MUNICIPAL", building_shape="L_SHAPED", construction_quality="GOOD",
                      has_fireplace=True, num_fireplaces=1, fireplace_type="MASONRY", has_pool=False,
                      square_ft=self.data.randint(1100, 3600), num_beds=self.data.randint(2, 5), num_baths_full=2,
                      num_baths_partial=1, num_stories=2, num_units=1, garage_type="ATTACHED_2_CAR",
                      garage_square_ft=420, num_parking_spaces=2, assessed_improvement_value_cents=building,
                      assessed_land_value_cents=land, assessed_total_value_cents=building + land,
                      market_improvement_value_cents=building * 5 // 4, market_land_value_cents=land * 5 // 4,
                      market_total_value_cents=(building + land) * 5 // 4, owner1_first_name=self.first_name.upper(),
                      owner1_last_name=self.last_name.upper(), first_mortgage_amount_cents=building * 3 // 4,
                      first_mortgage_lender=self.data.choice(pools.LENDERS), purchase_date="2017-06-30",
                      purchase_price_cents=building + land, last_update_date="2025-11-02")

    def location(self):
        made = entity("Location", location_id=self.ids.uuid(), address=self.address("PHYSICAL"),
                      coverages=self.coverages("LocationCoverage", pools.LOCATION_COVERAGES),
                      mortgagees=[self.mortgagee()], carrier_location_identifier=f"LOC-{self.data.digits(3)}",
                      loss_settlement_type="REPLACEMENT_COST")
        made["property_data"] = self.property_data(made["location_id"])
        return made

    def operation(self, class_code, description):
        payroll, rate = self.data.randint(20, 90) * 1000000, self.data.randint(80, 600)
        return entity("LocationOperation", location_operation_id=self.ids.uuid(), class_code=class_code,
                      description=description, estimated_annual_remunerations_cents=payroll, rate_cents=rate,
                      estimated_annual_premium_cents=payroll // 10000 * rate // 100)

    def commercial_named_insured(self, location):
        name = self.data.choice(pools.BUSINESSES)
        return entity("CommercialNamedInsured", commercial_named_insured_id=self.ids.uuid(), name=f"{name} LLC",
                      address_id=location["address"]["address_id"], location_id=location["location_id"],
                      form_of_business="LIMITED_LIABILITY_COMPANY", gl_code="10040", sic_code="5461",
                      naics_code="311811", fein=f"{self.data.digits(2)}-{self.data.digits(7)}",
                      business_phone=self.data.phone(), business_email="office@business.example",
                      website_url="https://business.example", is_primary_named_insured=True,
                      number_of_employees=self.data.randint(3, 80), minimum_premium_cents=50000,
                      total_estimated_annual_premium_cents=self.data.randint(20, 90) * 10000)

    def additional_interest(self, kind="ADDITIONAL_INSURED"):
        return entity("AdditionalInterest", additional_interest_id=self.ids.uuid(),
                      additional_interest_name=f"{self.data.choice(pools.STREETS)} Property Management",
                      additional_interest_type=kind, email="interest@example.com", phone_number=self.data.phone(),
                      additional_interest_address=self.address("ADDITIONAL_INTEREST"))

    def form(self, name, number, kind, endorsement):
        """A policy form. Its id depends on the form alone: many pulls share it."""
        return entity("PolicyForm", policy_form_id=named_uuid("form", number), form_name=name, form_number=number,
                      form_type=kind, endorsement_type=endorsement, is_exclusion_endorsement="Exclusion" in name,
                      pdf_available=True)

    def forms(self, count=2):
        return [self.form(*facts) for facts in self.data.sample(pools.FORMS, count)]

    # History and papers

    def claim(self, policy, kind, vehicle=None, dwelling=None, is_open=False):
        happened = EPOCH - datetime.timedelta(days=self.data.randint(60, 900))
        self.pull["claims"].append(entity(
            "Claim", claim_id=self.ids.uuid(), policy_id=policy["policy_id"],
            vehicle_id=vehicle and vehicle["vehicle_id"], dwelling_id=dwelling and dwelling["dwelling_id"],
            address_id=self.address("INCIDENT_LOCATION")["address_id"], driver_id=self.drivers()[0]["driver_id"],
            carrier_claim_identifier=self.data.digits(8), date_occurred=midnight(happened), type=kind,
            status="OPEN" if is_open else "CLOSED", payout_cents=self.data.randint(50, 900) * 1000,
            date_closed=None if is_open else midnight(happened + datetime.timedelta(days=40)),
            representative_name="Jordan Avery", representative_phone=self.data.phone(),
            representative_email="claims@carrier.example"))

    def driving_record(self, kind="VIOLATION", violation="SPEEDING"):
        self.pull["driving_records"].append(entity(
            "DrivingRecord", driving_record_id=self.ids.uuid(), driver_id=self.drivers()[-1]["driver_id"],
            incident_date=midnight(EPOCH - datetime.timedelta(days=self.data.randint(100, 1000))), incident_type=kind,
            violation_type=violation, is_at_fault=self.data.choice((True, False, None))))

    def loss_event(self, policy, kind):
        happened = EPOCH - datetime.timedelta(days=self.data.randint(200, 1200))
        self.pull["loss_events"].append(entity(
            "LossEvent", loss_event_id=self.ids.uuid(), policy_id=policy["policy_id"],
            date_of_occurrence=midnight(happened), date_of_claim=midnight(happened + datetime.timedelta(days=3)),
            type=kind, amount_paid_cents=self.data.randint(100, 5000) * 1000, amount_reserved_cents=250000,
            is_subrogation=False, is_claim_open=True))

    def document(self, title, kind, policy=None, mime_type="application/pdf"):
        document_id = self.ids.uuid()
        self.pull["documents"].append(entity(
            "Document", document_id=document_id, title=title, document_type=kind, mime_type=mime_type,
            date_added=instant(EPOCH - datetime.timedelta(days=self.data.randint(1, 200)), 15, 30),
            policy_id=policy and policy["policy_id"],
            download_url=f"{DOCUMENT_BASE}/teams/{self.pull['team_id']}/pulls/{self.pull_id}/documents/{document_id}"))

    def answers(self):
        """What a consumer entered by hand, an uploaded file among it."""
        section, file_id = self.ids.uuid(), self.ids.uuid()
        url = f"{DOCUMENT_BASE}/teams/{self.pull['team_id']}/pulls/{self.pull_id}/answers"
        rows = (("Preferred name", "TEXT", self.first_name), ("Household size", "NUMBER", self.data.randint(1, 6)),
                ("Owns a boat", "BOOLEAN", False), ("Moving date", "DATE", "2026-04-01"), ("Comments", "TEXT", None))
        fields = [entity("AnswerField", consumer_flow_section_field_id=self.ids.uuid(), label=label,
                         meta={"position": position}, type=kind, value=value)
                  for position, (label, kind, value) in enumerate(rows)]
        upload = self.ids.uuid()
        fields.append(entity("AnswerField", consumer_flow_section_field_id=upload, label="Photo of the roof",
                             meta={"position": len(rows)}, type="FILE_UPLOAD", value=[entity(
                                 "FileUpload", name="roof.jpg", size=48213, type="image/jpeg", file_id=file_id,
                                 download_url=f"{url}/{upload}/files/{file_id}")]))
        self.pull["answers"].append(entity("AnswerSection", consumer_flow_section_id=section, fields=fields))

    def finish(self):
        """The complete pull, its flags in agreement with its content."""
        pull = self.pull
        for flag, items in (("no_policies", "policies"), ("no_drivers", "drivers"), ("no_documents", "documents"),
                            ("no_claims", "claims"), ("no_loss_events", "loss_events")):
            pull[flag] = not pull[items]
        return pull


def pull_id_of(seed, username, number=0):
    """The id of a user's pull; number counts the refreshes of the account."""
    return named_uuid(seed, username, "pull", number)
