"""Word lists for realistic data: people, streets, cities, cars, carriers and coverages."""

FIRST_NAMES = ("Amelia Andre Beatriz Caleb Carmen Daniel Denise Elijah Esther Farah Gavin Grace Hannah Hiro Imani Isaac "
               "Jasmine Joel Kavita Kevin Laila Logan Maya Miguel Nadia Noah Olivia Oscar Priya Quentin Rosa Ruben "
               "Selma Simon Tamara Theo Uma Victor Wendy Xavier Yara Zachary").split()
LAST_NAMES = ("Abbott Bautista Castellano Delacroix Engstrom Fairbanks Gutierrez Hollander Ibarra Jankowski Kowalczyk "
              "Lindqvist Mbeki Nakamura O'Malley Petrov Quintero Rosenthal Svensson Takahashi Underhill Valenzuela "
              "Whitfield Xiong Yamamoto Zimmerman").split()
STREETS = ("Alder Birchwood Cedar Dogwood Elmhurst Foxglove Greenbriar Hawthorne Ironwood Juniper Kingsley Larkspur "
           "Magnolia Northgate Orchard Pinecrest Quarry Rosemont Sycamore Tamarack Vineyard Willow").split()
STREET_TYPES = ("St", "Ave", "Rd", "Ln", "Dr", "Ct", "Blvd")
CITIES = (("Austin", "TX", "787"), ("Columbus", "OH", "432"), ("Denver", "CO", "802"), ("Madison", "WI", "537"),
          ("Portland", "OR", "972"), ("Raleigh", "NC", "276"), ("Sacramento", "CA", "958"), ("Tampa", "FL", "336"),
          ("Tucson", "AZ", "857"), ("Worcester", "MA", "016"))
TEXAS = (("Houston", "TX", "770"), ("Dallas", "TX", "752"), ("San Antonio", "TX", "782"))

# make, model, series, start of the vehicle identification number, list price in dollars
CARS = (("HONDA", "CIVIC", "EX", "2HGFC2F5", 24000), ("TOYOTA", "RAV4", "XLE", "2T3W1RFV", 31000),
        ("FORD", "F-150", "LARIAT", "1FTEW1EP", 46000), ("SUBARU", "OUTBACK", "PREMIUM", "4S4BTACC", 30000),
        ("TESLA", "MODEL 3", "LONG RANGE", "5YJ3E1EB", 47000), ("CHEVROLET", "EQUINOX", "LT", "2GNAXKEV", 27000),
        ("HYUNDAI", "TUCSON", "SEL", "5NMJFCAE", 28000), ("VOLVO", "XC60", "MOMENTUM", "YV4A22RK", 42000))
MOTORHOMES = (("WINNEBAGO", "VISTA", "31BE", "1F65F5DN", 128000), ("THOR", "HURRICANE", "34J", "1F66F5KN", 141000))
TRUCKS = (("FREIGHTLINER", "CASCADIA", "126", "3AKJHHDR", 151000), ("ISUZU", "NPR-HD", "CREW", "JALC4W16", 58000),
          ("RAM", "PROMASTER", "2500", "3C6LRVDG", 44000))
FEATURES = ("ANTI_LOCK_BRAKES", "ANTI_THEFT_DEVICE", "DAYTIME_RUNNING_LIGHTS", "DRIVER_AIRBAG", "SIDE_AIRBAGS")
OCCUPATIONS = ("Nurse", "Software Engineer", "Teacher", "Electrician", "Accountant", "Chef", "Retired", "Architect")
LENDERS = ("First Meridian Bank", "Harborview Mortgage LLC", "Cascade Federal Credit Union", "Pioneer Home Loans")
BUSINESSES = ("Blue Heron Bakery", "Granite Peak Contractors", "Lakeshore Freight", "Copper Kettle Brewing",
              "Summit Valley Dental", "Redwood Print Works")
AGENCIES = ("Keystone Insurance Group", "Prairie Rose Agency", "Bayside Risk Advisors")

# id, name, products, servicing actions
MORTGAGEE_ACTIONS = ("ADD_MORTGAGEE", "EDIT_MORTGAGEE", "REMOVE_MORTGAGEE")
CARRIERS = (("allstate", "Allstate", ("personal",), MORTGAGEE_ACTIONS),
            ("amfam", "American Family", ("personal",), ()),
            ("autoowners", "Auto-Owners", ("personal", "commercial"), ()),
            ("chubb", "Chubb", ("personal", "commercial"), ()),
            ("farmers", "Farmers", ("personal",), MORTGAGEE_ACTIONS),
            ("geico", "GEICO", ("personal",), ()),
            ("hartford", "The Hartford", ("commercial",), ()),
            ("nationwide", "Nationwide", ("personal", "commercial"), MORTGAGEE_ACTIONS[:1]),
            ("progressive", "Progressive", ("personal", "commercial"), ()),
            ("statefarm", "State Farm", ("personal",), MORTGAGEE_ACTIONS),
            ("travelers", "Travelers", ("personal", "commercial"), ()),
            ("usaa", "USAA", ("personal",), ()))

# name, premium range in cents, further fields
AUTO_COVERAGES = (
    ("BODILY_INJURY_LIABILITY", (9000, 26000), {"per_person_limit_cents": 10000000, "per_incident_limit_cents": 30000000}),
    ("PROPERTY_DAMAGE_LIABILITY", (8000, 21000), {"per_incident_limit_cents": 10000000}),
    ("UNINSURED_AND_UNDERINSURED_MOTORIST_BODILY_INJURY_LIABILITY", (2500, 7000),
     {"per_person_limit_cents": 5000000, "per_incident_limit_cents": 10000000, "is_stacked": False}),
    ("MEDICAL_PAYMENTS", (800, 2500), {"per_person_limit_cents": 500000}),
    ("COMPREHENSIVE", (4000, 14000), {"deductible_cents": 25000, "actual_cash_value": True}),
    ("COLLISION", (11000, 34000), {"deductible_cents": 50000, "actual_cash_value": True}),
    ("RENTAL_REIMBURSEMENT", (900, 2400), {"per_day_limit_cents": 4000, "max_days": 30}),
    ("EMERGENCY_ROAD_SERVICE", (300, 900), {"per_incident_unlimited": True}),
    ("PERSONAL_INJURY_PROTECTION", (5000, 12000),
     {"per_person_limit_cents": 1000000, "deductible_cents": 100000, "pip_deductible_applicability": "NAMED_INSURED"}))
HOME_COVERAGES = (
    ("DWELLING", (60000, 120000), {"per_incident_limit_cents": 38500000}),
    ("OTHER_STRUCTURES", (2000, 6000), {"per_incident_limit_cents": 3850000, "per_incident_limit_percent": "10.000"}),
    ("PERSONAL_PROPERTY", (9000, 24000), {"per_incident_limit_cents": 19250000}),
    ("LOSS_OF_USE", (1500, 4500), {"per_incident_limit_cents": 7700000, "per_incident_limit_months": 24}),
    ("PERSONAL_LIABILITY", (2500, 6000), {"per_incident_limit_cents": 30000000}),
    ("MEDICAL_PAYMENTS", (400, 1200), {"per_person_limit_cents": 500000}),
    ("WATER_BACKUP_AND_SUMP_OVERFLOW", (3500, 9000), {"per_incident_limit_cents": 1000000, "deductible_cents": 100000}),
    ("WINDSTORM_OR_HAIL", (2500, 8000), {"deductible_percent": "2.500"}),
    ("ALL_OTHER_PERILS", None, {"deductible_cents": 100000}),
    ("EARTHQUAKE", None, {"is_declined": True}))
FLOOD_COVERAGES = (
    ("BUILDING", (30000, 90000), {"per_incident_limit_cents": 25000000, "deductible_cents": 125000}),
    ("CONTENTS", (12000, 30000), {"per_incident_limit_cents": 10000000, "deductible_cents": 125000}),
    ("ICC", (600, 900), {"per_incident_limit_cents": 3000000}))
LOCATION_COVERAGES = (
    ("BUILDING", (90000, 240000), {"per_incident_limit_cents": 120000000, "limit_percent": "80.000", "deductible_cents": 250000}),
    ("BUSINESS_PERSONAL_PROPERTY", (30000, 80000), {"per_incident_limit_cents": 25000000, "seasonal_increase_percent": 25}),
    ("BUSINESS_INCOME_AND_EXTRA_EXPENSE", (15000, 45000),
     {"business_income_limit_cents": 50000000, "als_months": 12, "extended_business_income_duration": "P60D",
      "period_of_restoration_duration": "P12M", "waiting_period_duration": "PT72H"}),
    ("GENERAL_AGGREGATE", (40000, 110000), {"per_policy_year_limit_cents": 200000000, "per_term_limit_cents": 200000000}),
    ("MEDICAL_EXPENSE", (900, 2400), {"per_person_limit_cents": 1000000}),
    ("EMPLOYEE_DISHONESTY_INCLUDING_FORGERY_AND_ALTERATION", (1500, 4000),
     {"per_employee_limit_cents": 2500000, "duration_of_coverage_duration": "P1Y"}),
    ("WINDSTORM_OR_HAIL", None, {"deductible_percent": "2.500"}),
    ("EARTHQUAKE", None, {"is_declined": True}))
FORMS = (("Homeowners 3 Special Form", "HO 00 03 05 11", "FORM", None),
         ("Personal Auto Policy", "PP 00 01 09 18", "FORM", None),
         ("Identity Theft Coverage", "HO 04 55 05 11", "ENDORSEMENT", "IDENTITY_THEFT_COVERAGE"),
         ("Service Line Coverage", "HO 06 16 03 22", "ENDORSEMENT", "SERVICE_LINE_COVERAGE"),
         ("Refrigerated Property Coverage", "HO 04 98 10 00", "ENDORSEMENT", "REFRIGERATED_PROPERTY_COVERAGE"),
         ("Sinkhole Collapse Exclusion", "HO 23 94 05 13", "ENDORSEMENT", "SINKHOLE_COVERAGE"))
