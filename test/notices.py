#!/usr/bin/env python3
"""test/notices.py - which notices of certificates come and when, worked out rule by rule.

    notices.py generate SEED COUNT   random calendars, a JSON object a line
    notices.py judge                 reads calendars, prints "id place: notices" for each time that somebody asks

A calendar: {"id": 1, "acts": [...]}, of one lease and its policies, in the order of time. An act has a key "do":
zone     the property gets the time zone "zone", for the first time or another: as if its rules had changed
event    an event "status" of policy "number", at "at", of the term of "effective" and "expiry"; fact: a row of facts
wait     "minutes" pass between asking
ask      somebody asks at "at" with "cadence", and then "then": done, some (only even steps), none, rollback
Times are in UTC, as 2026-01-02T00:00:00Z. What comes out is an oracle for summit_notice_due(). The zones' rules are
those of Python's zoneinfo: PYTHONTZPATH should be where the server has its own.
"""
import json
import random
import sys
from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)

# Zones, and days about which their clocks do something.
CHANGES = [
    ('America/Vancouver', ['2025-03-09', '2025-11-02', '2026-03-08', '2026-11-01', '2026-12-01', '2027-03-14']),
    ('America/St_Johns', ['2007-03-11', '2010-03-14', '2010-11-07', '2026-03-08', '2026-11-01']),
    ('Pacific/Apia', ['2011-12-30', '2011-12-30', '2012-04-01', '2020-09-27', '2021-04-04']),
    ('America/Sao_Paulo', ['2018-11-04', '2018-02-18']),
    ('Australia/Lord_Howe', ['2026-04-05', '2026-10-04']),
    ('Pacific/Kiritimati', ['1994-12-31', '2026-02-28']),
    ('Etc/GMT+12', ['2024-02-29']),
    ('UTC', ['2026-12-31']),
]

# Policies of the lease: what kind of policy, and of which tenant; NULL says nothing against any.
POLICIES = {'main': ('CGL', 'T1'), 'other': ('CGL', None), 'property': ('Property', 'T1'), 'mate': ('CGL', 'T2')}


def moment(text):
    return datetime.strptime(text, '%Y-%m-%dT%H:%M:%SZ').replace(tzinfo=timezone.utc)


def text_of(at):
    return at.strftime('%Y-%m-%dT%H:%M:%SZ')


class Term:
    def __init__(self, effective, expiry):
        self.effective = effective
        self.expiry = expiry
        self.status = None
        # (what, when, the expiry date that was known then) of lapses and reinstatements, in their order.
        self.turns = []

    def covers(self, day, zone):
        if not self.effective <= day < self.expiry:
            return False
        is_on = True
        for what, at, expiry in self.turns:
            if what == 'reinstated':
                is_on = True
                continue
            # Cover ends with the expiry date, but for what is told on an earlier day both there and in UTC.
            ends = at.astimezone(zone).date()
            if max(ends, at.date()) < expiry and day >= ends:
                is_on = False
        return is_on


class Policy:
    def __init__(self, number):
        self.kind, self.tenant = POLICIES[number]
        self.terms = {}

    def tell(self, act):
        effective = date.fromisoformat(act['effective'])
        expiry = date.fromisoformat(act['expiry'])
        if effective not in self.terms:
            self.terms[effective] = Term(effective, expiry)
        term = self.terms[effective]
        # A fact says nothing against an event; a lapse repeats what was known.
        if act['status'] == 'fact':
            if term.status is None:
                term.expiry = expiry
            return
        if act['status'] != 'lapsed':
            term.expiry = expiry
        if act['status'] in ('lapsed', 'reinstated'):
            term.turns.append((act['status'], moment(act['at']), term.expiry))
        term.status = act['status']

    def newest(self):
        return self.terms[max(self.terms)]

    def is_of_the_same(self, other):
        return self.kind == other.kind and (None in (self.tenant, other.tenant) or self.tenant == other.tenant)


class Calendar:
    def __init__(self):
        self.zone = None
        self.policies = {}
        # (number, expiry, step): [minutes since it was taken, whether it was acknowledged].
        self.taken = {}

    def is_renewed(self, number, expiry):
        mine = self.policies[number]
        return any(other is not mine and mine.is_of_the_same(other) and
                   any(term.covers(expiry, self.zone) for term in other.terms.values())
                   for other in self.policies.values())

    def notice(self, number, today, cadence):
        """The notice that comes of a policy, or None."""
        term = self.policies[number].newest()
        reached = [step for step in cadence if term.expiry - step * DAY <= today]
        if term.status == 'lapsed' or today >= term.expiry or not reached or self.is_renewed(number, term.expiry):
            return None
        step = min(reached)
        known = [key[2] for key in self.taken if key[:2] == (number, term.expiry)]
        if any(other < step for other in known):
            return None
        minutes, is_done = self.taken.get((number, term.expiry, step), (60, False))
        return None if is_done or minutes < 60 else (number, term.expiry, step)

    def ask(self, act):
        if self.zone is None:
            return []
        today = moment(act['at']).astimezone(self.zone).date()
        notices = [self.notice(number, today, act['cadence']) for number in self.policies]
        notices = sorted(notice for notice in notices if notice)
        if act['then'] != 'rollback':
            for notice in notices:
                self.taken[notice] = [0, act['then'] == 'done' or act['then'] == 'some' and notice[2] % 2 == 0]
        return notices

    def act(self, act):
        if act['do'] == 'zone':
            self.zone = ZoneInfo(act['zone'])
        elif act['do'] == 'event':
            if act['number'] not in self.policies:
                self.policies[act['number']] = Policy(act['number'])
            self.policies[act['number']].tell(act)
        elif act['do'] == 'wait':
            for known in self.taken.values():
                known[0] += act['minutes']


def judge():
    for line in sys.stdin:
        given = json.loads(line)
        calendar = Calendar()
        for place, act in enumerate(given['acts'], 1):
            if act['do'] != 'ask':
                calendar.act(act)
                continue
            found = ' '.join(f'{number}/{expiry - step * DAY}/{expiry}/{step}'
                             for number, expiry, step in calendar.ask(act))
            print(f"{given['id']} {place}: {found}")


def hours_of(day, zone, rng):
    """Times about that day at which somebody asks: midnight, and a schedule in the hours that come twice or never."""
    midnight = datetime.combine(day, time(0), zone).astimezone(timezone.utc)
    early = datetime.combine(day, time(1, 30), zone)
    late = datetime.combine(day, time(2, 30), zone)
    return rng.choice([
        [midnight - timedelta(seconds=1), midnight],
        [midnight + timedelta(seconds=rng.randrange(-7200, 7200))],
        [early.astimezone(timezone.utc), early.replace(fold=1).astimezone(timezone.utc) + timedelta(seconds=1)],
        # On the day on which there is no 02:30 it does not fire.
        [late.astimezone(timezone.utc)] if late.astimezone(timezone.utc).astimezone(zone).replace(tzinfo=None)
        == late.replace(tzinfo=None) else [],
        [datetime.combine(day, time(rng.randrange(24), rng.randrange(60)), timezone.utc)]])


def change_of(rng, at, known, policies):
    """Something that is told: what becomes of a policy that is known, or a first term of another one."""
    number = rng.choice(list(POLICIES))
    if number not in known:
        effective = at.date() + rng.randrange(-300, 40) * DAY
        known[number] = [(effective, effective + rng.randrange(200, 380) * DAY)]
        status = rng.choice(['submitted', 'verified', 'fact'])
    else:
        effective, expiry = known[number][-1]
        what = rng.choice(['lapsed', 'lapsed', 'reinstated', 'verified', 'expiry', 'renewal', 'renewal', 'fact'])
        status = {'expiry': 'verified', 'renewal': rng.choice(['submitted', 'fact'])}.get(what, what)
        if what == 'expiry':
            known[number][-1] = (effective, max(effective + DAY, expiry + rng.randrange(-10, 11) * DAY))
        elif what == 'renewal':
            # What only a fact tells of is not known when events are put together: it begins with the expiry, or later.
            begins = expiry + rng.choice([0, 0, 0, 1, 3] if status == 'fact' else [0, 0, 0, -1, 1, 3]) * DAY
            known[number].append((max(effective + DAY, begins), expiry + 365 * DAY))
    effective, expiry = known[number][-1]
    return {'do': 'event', 'number': number, 'status': status, 'at': text_of(at), 'effective': str(effective),
            'expiry': str(expiry)}


def cadence_of(rng):
    return rng.choice([[30, 15, 5], [30, 15, 5], [15, 30, 5], [1], [2, 1], [7, 3, 1],
                       rng.sample(range(1, 60), rng.randrange(1, 8))])


def acts_of(rng):
    name, days = rng.choice(CHANGES)
    zone = ZoneInfo(name)
    expiry = date.fromisoformat(rng.choice(days)) + rng.choice([0, 1, 5, 15, 30, rng.randrange(-3, 40)]) * DAY
    effective = expiry - 365 * DAY
    day = expiry - rng.choice([33, 31, 17, 7, 3]) * DAY
    first = datetime.combine(day - 20 * DAY, time(12), timezone.utc)
    cadence = cadence_of(rng)
    known = {'main': [(effective, expiry)]}
    acts = [] if rng.random() < 0.05 else [{'do': 'zone', 'zone': name}]
    acts.append({'do': 'event', 'number': 'main', 'status': rng.choice(['submitted', 'verified']), 'at': text_of(first),
                 'effective': str(effective), 'expiry': str(expiry)})
    last = first
    while day <= expiry + 2 * DAY:
        for at in hours_of(day, zone, rng):
            if at <= last:
                continue
            last = at
            if rng.random() < 0.08:
                acts.append(change_of(rng, at - timedelta(seconds=1), known, POLICIES))
            # Another zone of nearly the same time is what a change of the rules looks like.
            if rng.random() < 0.03:
                acts.append({'do': 'zone', 'zone': rng.choice([name, 'Etc/GMT+7', 'Etc/GMT+8', 'UTC', 'Pacific/Apia'])})
            acts.append({'do': 'ask', 'at': text_of(at), 'cadence': cadence if rng.random() < 0.9 else cadence_of(rng),
                         'then': rng.choice(['done', 'done', 'done', 'some', 'none', 'rollback'])})
            acts.append({'do': 'wait', 'minutes': rng.choice([1, 20, 59, 60, 1440])})
        day += rng.choice([1, 1, 1, 2, 3, 7, 20]) * DAY
    return acts


def generate(seed, count):
    rng = random.Random(seed)
    for number in range(1, count + 1):
        print(json.dumps({'id': number, 'acts': acts_of(rng)}))


if __name__ == '__main__':
    if sys.argv[1:] == ['judge']:
        judge()
    elif len(sys.argv) == 4 and sys.argv[1] == 'generate':
        generate(int(sys.argv[2]), int(sys.argv[3]))
    else:
        sys.exit(__doc__)
