#!/usr/bin/env python3
"""test/cover.py - what histories of certificates come to, worked out slowly: term by term, day by day.

    cover.py generate SEED COUNT   random histories, a JSON object a line
    cover.py judge                 reads histories, prints a line for each term, and one for what is not covered

A history: {"id": 1, "zone": "America/Vancouver" or null, "events": [{"delivery", "status", "occurred_at",
"observed_at", "effective", "expiry", "reason", "checks"}]}, of whose events the last five may be null; times are in
UTC, as 2026-01-02T00:00:00Z. What comes out is an oracle for canopy_summit.certificate and summit.uncovered_period.
Cover is a set of days here: a term's days, each switched off and on by the lapses and reinstatements in their order.
"""
import json
import random
import sys
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

LIFE = ['submitted', 'verified', 'lapsed', 'reinstated']
DAY = timedelta(days=1)


class Term:
    def __init__(self):
        self.first = None
        self.expiry = None
        self.basis = 'not stated'
        self.status = None
        self.status_at = None
        self.reason = None
        self.failed = None
        # (day, whether covered from then on), in the order of events.
        self.switches = []

    def begin(self, day, basis):
        """Somebody tells the first day. What had lapsed by then was another term."""
        self.first = day
        self.basis = basis
        if any(at <= day for at, _ in self.switches):
            self.switches = []

    def covered(self):
        """The set of days that are covered, by their numbers."""
        days = set()
        if self.first is None or self.expiry is None:
            return days
        switches = [(at.toordinal(), turned) for at, turned in self.switches]
        for day in range(self.first.toordinal(), self.expiry.toordinal()):
            is_on = True
            for at, turned in switches:
                if day >= at:
                    is_on = turned
            if is_on:
                days.add(day)
        return days


class Event:
    def __init__(self, told, zone):
        self.status = told['status']
        self.occurred = moment(told['occurred_at'])
        seen = moment(told['observed_at'] or told['occurred_at'])
        self.day = seen.astimezone(ZoneInfo(zone or 'UTC')).date()
        self.utc_day = seen.date()
        self.first = told['effective'] and date.fromisoformat(told['effective'])
        self.expiry = told['expiry'] and date.fromisoformat(told['expiry'])
        self.reason = told['reason']
        self.key = (self.occurred, LIFE.index(self.status), told['delivery'])
        self.failed = None
        if self.status == 'verified':
            self.failed = [check['name'] for check in told['checks'] or []
                           if (check.get('result') or '').lower() not in ('pass', 'passed')]


def moment(text):
    return datetime.strptime(text, '%Y-%m-%dT%H:%M:%SZ').replace(tzinfo=timezone.utc)


def newest(terms):
    """By first day; one without comes before all others."""
    return max(terms, key=lambda term: term.first or date.min, default=None)


def newest_for(terms, event):
    """Of some terms the newest, but what lapses or comes back has begun, if any has."""
    if event.status in ('lapsed', 'reinstated'):
        begun = [term for term in terms if term.first and term.first <= event.day]
        return newest(begun) or newest(terms)
    return newest(terms)


def term_of(terms, event):
    """The term that an event is about; None for a new one."""
    if event.first:
        for term in terms:
            if term.first == event.first:
                return term
        if event.status == 'reinstated':
            inside = [term for term in terms if term.first and term.expiry and term.first < event.first < term.expiry]
            if inside:
                return newest_for(inside, event)
        for term in terms:
            if term.first is None and (term.expiry is None or event.expiry is None or term.expiry == event.expiry):
                return term
        return None
    if event.expiry and event.status != 'reinstated':
        same = [term for term in terms if term.expiry == event.expiry]
        if same:
            return newest_for(same, event)
    term = newest_for(terms, event)
    if term and event.status == 'reinstated' and term.expiry and event.expiry \
            and term.expiry <= event.day < event.expiry:
        # A new one, which begins that day: unless one did.
        return next((other for other in terms if other.first == event.day), None)
    return term


def take(term, event, zone):
    """Tells a term of an event."""
    local = 'reinstated_at' if zone else 'reinstated_at in UTC'
    if term.first is None and event.first:
        term.begin(event.first, 'stated')
    elif term.first is None and event.status == 'reinstated':
        term.begin(event.day, local)
    if event.expiry and (event.status != 'lapsed' or not term.expiry):
        term.expiry = event.expiry
    if event.status == 'lapsed' and event.reason != 'expiry' \
            and (not term.expiry or event.day < term.expiry and event.utc_day < term.expiry):
        term.switches.append((event.day, False))
    if event.status == 'reinstated':
        term.switches.append((event.first or event.day, True))
    if event.status == 'verified':
        term.failed = event.failed or None
    if event.failed and term.status:
        return
    # Clocks differ: what was verified a moment ago is not submitted again.
    if event.status == 'submitted' and term.status == 'verified' \
            and event.occurred <= term.status_at + timedelta(minutes=5):
        return
    term.status = 'submitted' if event.failed else event.status
    term.status_at = event.occurred
    term.reason = event.reason


def ranges(days, endless_from=None):
    """A set of days as PostgreSQL writes a datemultirange."""
    found = []
    for day in sorted(days):
        if found and found[-1][1] == day:
            found[-1][1] = day + 1
        else:
            found.append([day, day + 1])
    texts = ['[%s,%s)' % (date.fromordinal(first), date.fromordinal(end)) for first, end in found]
    # What is covered comes before it: the two never touch.
    if endless_from:
        texts.append('[%s,)' % date.fromordinal(endless_from))
    return '{' + ','.join(texts) + '}'


def judge(history):
    """The lines of a history."""
    zone = history['zone']
    terms = []
    for event in sorted((Event(told, zone) for told in history['events']), key=lambda event: event.key):
        term = term_of(terms, event)
        if term is None:
            term = Term()
            terms.append(term)
        take(term, event, zone)
    last = newest(terms)
    covered = set()
    for term in sorted(terms, key=lambda term: term.first or date.min):
        days = term.covered()
        covered |= days
        yield '|'.join([str(history['id']), str(term.first or '-infinity'), str(term.first or ''),
                        str(term.expiry or ''), term.basis, term.status,
                        term.status_at.strftime('%Y-%m-%dT%H:%M:%SZ'), term.reason or '', ' '.join(term.failed or []),
                        ranges(days), 'newest' if term is last else ''])
    if not covered:
        return
    gaps = {day for day in range(min(covered), max(covered)) if day not in covered}
    is_out = last.status == 'lapsed'
    if gaps or is_out:
        yield '%s|uncovered|%s|%s' % (history['id'], ranges(covered), ranges(gaps, max(covered) + 1 if is_out else None))


ZONES = ['America/Vancouver', 'America/Vancouver', 'America/St_Johns', 'UTC', 'Pacific/Kiritimati', None]
FIRST = ['2024-02-29', '2025-01-01', '2025-03-09', '2024-12-31', '2025-07-01', '2025-11-02']
CHECKS = [None, None, [], [('limits', 'pass')], [('limits', 'PASSED'), ('holder', 'pass')],
          [('limits', 'fail'), ('holder', 'pass')], [('limits', None)]]


def years_later(day, years):
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return day.replace(year=day.year + years, month=3, day=1)


def generate(seed, count):
    chance = random.Random(seed)
    for number in range(1, count + 1):
        zone = chance.choice(ZONES)
        first = date.fromisoformat(chance.choice(FIRST))
        begins = [years_later(first, year) for year in range(3)]
        ends = begins[1:] + [begins[2] + 366 * DAY]
        moments = [around(chance, day, zone) for day in begins + ends for _ in range(2)]
        events = []
        for place in range(chance.randint(1, 8)):
            term = chance.choice([0, 0, 1, 1, 2])
            status = chance.choice(LIFE)
            effective = begins[term] if chance.random() < (0.7 if status == 'submitted' else 0.3) else None
            expiry = ends[term] if chance.random() < (0.7 if status in ('submitted', 'reinstated') else 0.3) else None
            if effective and chance.random() < 0.15:
                effective += chance.choice([-1, 1, 40, 200]) * DAY
            if expiry and chance.random() < 0.15:
                expiry += chance.choice([-366, -365, -200, -1, 1, 100]) * DAY
            occurred = chance.choice(moments) if chance.random() < 0.7 else around(chance, first, zone, 1100)
            seen = chance.choice([None, occurred, occurred, occurred - timedelta(seconds=5), chance.choice(moments)])
            checks = chance.choice(CHECKS) if status == 'verified' else None
            events.append({
                'delivery': 'd%06d-%d' % (number, place), 'status': status, 'occurred_at': written(occurred),
                'observed_at': written(seen), 'effective': effective and str(effective), 'expiry': expiry and str(expiry),
                'reason': chance.choice([None, 'expiry', 'cancelled']) if status == 'lapsed' else None,
                'checks': checks and [{'name': name, 'result': result} for name, result in checks]})
        chance.shuffle(events)
        print(json.dumps({'id': number, 'zone': zone, 'events': events}))


def around(chance, day, zone, later=0):
    """A moment about the beginning of a day, there or in UTC."""
    begin = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(chance.choice([zone or 'UTC', 'UTC'])))
    return begin.astimezone(timezone.utc) + timedelta(days=chance.randint(0, later)) \
        + timedelta(seconds=chance.choice([-86400, -43200, -1, 0, 1, 3600 * chance.randint(1, 12), 86400 * 40]))


def written(at):
    return at and at.strftime('%Y-%m-%dT%H:%M:%SZ')


if sys.argv[1:2] == ['generate'] and len(sys.argv) == 4:
    generate(int(sys.argv[2]), int(sys.argv[3]))
elif sys.argv[1:] == ['judge']:
    for line in sys.stdin:
        for judged in judge(json.loads(line)):
            print(judged)
else:
    sys.exit(__doc__)
