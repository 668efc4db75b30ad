#!/usr/bin/env python3
"""test/verdict.py - what certificates come to against a requirement, worked out slowly: rule by rule.

    verdict.py generate SEED COUNT   random cases, a JSON object a line
    verdict.py judge                 reads cases, prints "id|verdict|code|found" for each

A case: {"id", "day", "name", "requirement": {...}, "terms": [{...}]}, of one lease: columns of summit.requirement, and
terms of certificates with "id", "number", "cover" as a list of [first, end) and the facts that summit.certificate has.
What comes out is an oracle for summit.compliance: each rule below says by itself what is wrong, and the worst counts.
"""
import json
import random
import re
import sys
import unicodedata
from datetime import date, timedelta

DAY = date(2026, 6, 15)
UNKNOWN = ['currency', 'currency_unknown', 'limit_unknown', 'additional_insured_unknown', 'waiver_of_subrogation_unknown',
           'endorsement_unknown', 'fact_unknown', 'notice_days_unknown', 'evidence', 'pending', 'no_expiry',
           'no_effective_date']
# The worse before the less bad, as a page about them would list them.
FAIL = ['failed_checks', 'limit_per_occurrence', 'limit_aggregate', 'additional_insured', 'waiver_of_subrogation',
        'endorsement', 'fact_minimum', 'fact_maximum', 'notice_days', 'insured_name', 'date_window']
NAMED_FACTS = ['tenants_legal_liability', 'non_owned_auto', 'deductible', 'cross_liability']
GRADES = ['fact', 'submitted', 'verified']
FORMS = {'incorporated': 'inc', 'incorporee': 'inc', 'corporation': 'corp', 'limited': 'ltd', 'limitee': 'ltd',
         'ltee': 'ltd', 'company': 'co', 'compagnie': 'co', 'cie': 'co', 'et': 'and'}
NAMES = [None, '', ' ', '---', 'ABC', 'ABCO Holdings', 'ABC Holdings', 'ABC Holdings Ltd.', 'ABC HOLDINGS LIMITED',
         'Abc Holdings Limit\u00e9e', 'abc holdings, lt\u00e9e', 'A.B.C. Holdings Inc.', 'ABC Holdings Incorporated',
         'Jane Doe', 'JANE  DOE', 'Jane Do\u00e9', 'Doe', 'Foo', 'Foo Inc', 'Bar & Sons Co.', 'Bar and Sons Company',
         'Bar et Sons Cie', '8622345 Canada Inc. & 2796953 Ontario Inc o/a Foo', 'Foo O/A ABC', 'FOO o / a Bar',
         'ABC d/b/a Foo', 'Jane Doe operating as ABC']


# Names.

def fold(text):
    return ''.join(c for c in unicodedata.normalize('NFKD', text) if not 0x300 <= ord(c) <= 0x36F).lower()


def names_in(text):
    """All names by which one is known."""
    found = set()
    for part in re.split(r'(?:^|(?<=[^a-z0-9]))(?:o\s*/\s*a|d\s*/\s*b\s*/\s*a|operating as|doing business as)(?![a-z0-9])',
                         fold(text)):
        letters = []
        for c in part:
            if c in ".'\u2019":
                continue
            letters.append(' and ' if c == '&' else c if c.isalnum() else ' ')
        words = [FORMS.get(word, word) for word in ''.join(letters).split()]
        if words:
            found.add(' '.join(words))
    return found


def is_insured(case, term):
    """True, False, or None where one of the names is not known."""
    if case['name'] is None or term['insured_name'] is None:
        return None
    return bool(names_in(case['name']) & names_in(term['insured_name']))


# Facts.

def amount(value):
    return None if value == 'NaN' else value


def fact(term, name):
    """A fact as (number or None, whether it is true or false, whether anything is stated)."""
    value = term[name] if name in NAMED_FACTS else (term['facts'] or {}).get(name)
    if name in NAMED_FACTS:
        value = amount(value)
    if isinstance(value, bool):
        return int(value), True, True
    if isinstance(value, int):
        return value, name == 'cross_liability', True
    return None, name == 'cross_liability', value not in (None, '')


def grade(term):
    if term['status'] is None:
        return 'fact'
    if term['status'] in ('verified', 'reinstated') or term['status'] == 'lapsed' and term['was_verified']:
        return 'verified'
    return 'submitted'


def covers(term, day):
    return any(first <= day < end for first, end in dates(term['cover']))


def dates(ranges):
    return [(parse(first), parse(end)) for first, end in ranges]


def parse(text):
    return date.fromisoformat(text) if text else None


def with_excess(case, term):
    """Limit per occurrence of a primary that covers, with what is over it."""
    need, limit = case['requirement'], amount(term['per_occurrence'])
    if limit is None or not need['may_combine_with_excess'] or limit >= need['per_occurrence']:
        return limit
    over = {}
    for other in case['terms']:
        if other['policy_type'].lower() not in ('umbrella', 'excess') or not covers(other, parse(case['day'])):
            continue
        if other['currency'] != need['currency'] or other['number'] == term['number'] or other['failed_checks']:
            continue
        if is_insured(case, other) is False or GRADES.index(grade(other)) < GRADES.index(need['evidence_grade']):
            continue
        if amount(other['per_occurrence']) is not None:
            over[other['number']] = max(over.get(other['number'], 0), amount(other['per_occurrence']))
    return limit + sum(over.values())


# Rules: each yields the codes that it finds.

def rule_checks(case, term, need):
    if term['failed_checks']:
        yield 'failed_checks'


def rule_limits(case, term, need):
    wanted = [(need['per_occurrence'], with_excess(case, term), 'limit_per_occurrence'),
              (need['aggregate'], amount(term['aggregate']), 'limit_aggregate')]
    wanted = [w for w in wanted if w[0] is not None]
    if wanted and term['currency'] != need['currency']:
        yield 'currency' if term['currency'] else 'currency_unknown'
    for least, found, code in wanted:
        if found is None:
            yield 'limit_unknown'
        elif term['currency'] == need['currency'] and found < least:
            yield code


def rule_flags(case, term, need):
    for flag in ('additional_insured', 'waiver_of_subrogation'):
        if need[flag]:
            if term[flag] is None:
                yield flag + '_unknown'
            elif not term[flag]:
                yield flag


def rule_endorsements(case, term, need):
    if need['endorsements'] is None:
        return
    if term['endorsements'] is None:
        yield 'endorsement_unknown'
    elif not {e.lower() for e in need['endorsements']} <= {e.lower() for e in term['endorsements']}:
        yield 'endorsement'


def rule_fact(case, term, need):
    if need['fact'] is None:
        return
    number, is_flag, is_stated = fact(term, need['fact'])
    bounds = [b for b in (need['minimum'], need['maximum']) if b is not None]
    if not is_stated or bounds and number is None:
        yield 'fact_unknown'
    if not bounds:
        return
    if need['currency'] and not is_flag and term['currency'] != need['currency']:
        yield 'currency' if term['currency'] else 'currency_unknown'
    elif number is not None:
        if need['minimum'] is not None and number < need['minimum']:
            yield 'fact_minimum'
        if need['maximum'] is not None and number > need['maximum']:
            yield 'fact_maximum'


def rule_notice(case, term, need):
    if need['notice_days'] is not None:
        if term['cancellation_notice_days'] is None:
            yield 'notice_days_unknown'
        elif term['cancellation_notice_days'] < need['notice_days']:
            yield 'notice_days'


def rule_insured(case, term, need):
    if is_insured(case, term) is False:
        yield 'insured_name'


def rule_window(case, term, need):
    same = [t for t in case['terms'] if t['policy_type'].lower() == need['policy_type'].lower()]
    for ahead in range(need['days_ahead'] + 1 if need['days_ahead'] else 0):
        if not any(covers(t, parse(case['day']) + timedelta(ahead)) for t in same):
            yield 'date_window'
            return


def rule_evidence(case, term, need):
    if GRADES.index(grade(term)) < GRADES.index(need['evidence_grade']):
        yield 'pending' if grade(term) == 'submitted' else 'evidence'


RULES = [rule_checks, rule_limits, rule_flags, rule_endorsements, rule_fact, rule_notice, rule_insured, rule_window,
         rule_evidence]


def why_not(case, term):
    day = parse(case['day'])
    effective, expiry, lapsed = parse(term['effective_date']), parse(term['expiry_date']), parse(term['lapsed_on'])
    if expiry and expiry <= day:
        return 'expired'
    if term['status'] == 'lapsed' and lapsed <= day:
        return 'lapsed'
    if effective and effective > day:
        return 'not_yet_effective'
    if not expiry:
        return 'no_expiry'
    if not effective:
        return 'no_effective_date'
    return 'lapsed'


def judge_term(case, term):
    """(0 pass, 1 unknown, 2 fail), and the code."""
    found = {code for rule in RULES for code in rule(case, term, case['requirement'])}
    for code in FAIL:
        if code in found:
            return 2, code
    for code in UNKNOWN:
        if code in found:
            return 1, code
    assert not found, found
    return 0, 'ok'


def newest(term):
    return (parse(term['effective_date']) or date.min, term['id'])


def judge(case):
    terms = [t for t in case['terms'] if t['policy_type'].lower() == case['requirement']['policy_type'].lower()]
    if not terms:
        return 2, 'no_policy', None
    covering = [t for t in terms if covers(t, parse(case['day']))]
    if not covering:
        # What is to come says less than what has ended.
        term = max(terms, key=lambda t: ((parse(t['effective_date']) or date.min) <= parse(case['day']), newest(t)))
        code = why_not(case, term)
        return 1 if code in UNKNOWN else 2, code, term
    best = max(covering, key=lambda t: (-judge_term(case, t)[0], newest(t)))
    return (*judge_term(case, best), best)


def found(case, code, term):
    need = case['requirement']
    if code in ('ok', 'limit_per_occurrence'):
        if need['per_occurrence'] is not None:
            return with_excess(case, term)
        return amount(term['aggregate']) if need['aggregate'] is not None else \
            fact(term, need['fact'])[0] if need['fact'] else None
    return {
        'expired': lambda: term['expiry_date'], 'date_window': lambda: term['expiry_date'],
        'lapsed': lambda: term['lapsed_on'] if term['status'] == 'lapsed' else None,
        'not_yet_effective': lambda: term['effective_date'],
        'additional_insured': lambda: 'false', 'waiver_of_subrogation': lambda: 'false',
        'limit_aggregate': lambda: amount(term['aggregate']), 'notice_days': lambda: term['cancellation_notice_days'],
        'fact_minimum': lambda: fact(term, need['fact'])[0], 'fact_maximum': lambda: fact(term, need['fact'])[0],
        'evidence': lambda: grade(term), 'pending': lambda: grade(term), 'currency': lambda: term['currency'],
    }.get(code, lambda: None)()


# Cases.

def some(*values):
    return random.choice(values)


def random_amount():
    return some(None, 'NaN', 1, 2, 3, 4, 5, 6) if random.random() < 0.3 else random.randint(2, 6)


def shifted(days):
    return str(DAY + timedelta(days))


def random_term(number, policy_type, name):
    effective = some(-400, -366, -365, -200, -200, -30, -1, 0, 1, 20) if random.random() < 0.95 else None
    expiry = (effective if effective is not None else 0) + some(1, 30, 365, 366, 400) if random.random() < 0.93 else None
    if random.random() < 0.1 and effective is not None and effective < 0:
        expiry = some(0, 1)
    status = some(None, 'submitted', 'verified', 'verified', 'verified', 'lapsed', 'reinstated')
    cover = [[effective, expiry]] if None not in (effective, expiry) and effective < expiry else []
    lapsed = None
    if status in ('lapsed', 'reinstated'):
        lapsed = (effective if effective is not None else 0) + random.randint(1, 300)
        if cover and lapsed < expiry:
            back = lapsed + random.randint(1, 100)
            cover = [c for c in [[effective, lapsed]] + ([[back, expiry]] if status == 'reinstated' else []) if c[0] < c[1]]
    return {
        'id': number, 'number': f'N{number if random.random() < 0.8 else some(1, 2)}', 'policy_type': policy_type,
        'effective_date': None if effective is None else shifted(effective),
        'expiry_date': None if expiry is None else shifted(expiry),
        'cover': [[shifted(a), shifted(b)] for a, b in cover], 'status': status,
        'lapsed_on': None if lapsed is None else shifted(lapsed), 'was_verified': some(True, False),
        'failed_checks': random.random() < 0.04,
        'insured_name': some(None, name, name, some(*NAMES)),
        'currency': some('CAD', 'CAD', 'CAD', 'CAD', 'CAD', 'USD', None),
        'per_occurrence': random_amount(), 'aggregate': random_amount(), 'deductible': random_amount(),
        'tenants_legal_liability': random_amount(), 'non_owned_auto': random_amount(),
        'cross_liability': some(True, True, False, None), 'additional_insured': some(True, True, True, False, None),
        'waiver_of_subrogation': some(True, True, True, False, None),
        'cancellation_notice_days': some(None, 10, 30, 30, 30, 60),
        'endorsements': some(None, [], ['A'], ['a', 'Cross'], ['Cross', 'b', 'A']),
        'facts': some(None, {}, {'x': 3}, {'x': 1}, {'x': True}, {'x': False}, {'x': '3'}, {'x': ''}, {'x': None}),
    }


def random_requirement():
    """Of a few things at once: of all, nearly everything would fail by something."""
    need = {
        'policy_type': some('CGL', 'CGL', 'CGL', 'Cgl', 'Umbrella'), 'per_occurrence': None, 'aggregate': None, 'fact': None,
        'minimum': None, 'maximum': None, 'currency': None, 'may_combine_with_excess': False, 'additional_insured': False,
        'waiver_of_subrogation': False, 'endorsements': None, 'notice_days': None, 'days_ahead': 0,
        'evidence_grade': some('fact', 'fact', 'submitted', 'verified')}
    for what in random.sample(['limit', 'limit', 'limit', 'aggregate', 'fact', 'fact', 'additional_insured',
                               'waiver_of_subrogation', 'endorsements', 'notice', 'ahead'], some(0, 1, 1, 2, 2, 3, 4)):
        if what == 'limit':
            need.update(per_occurrence=some(1, 2, 3, 5, 8), currency='CAD')
            need['may_combine_with_excess'] = need['policy_type'] != 'Umbrella' and some(True, False)
        elif what == 'aggregate':
            need.update(aggregate=some(2, 4), currency='CAD')
        elif what == 'fact':
            need.update(fact=some('x', 'x', *NAMED_FACTS), minimum=some(None, 1, 2, 3))
            need['maximum'] = some(None, (need['minimum'] or 0) + some(0, 1, 3))
            need['currency'] = need['currency'] or some(None, 'CAD')
        elif what == 'endorsements':
            need['endorsements'] = some([], ['a'], ['CROSS'], ['b', 'A'])
        elif what == 'notice':
            need['notice_days'] = some(10, 30, 45)
        elif what == 'ahead':
            need['days_ahead'] = some(1, 30, 200)
        else:
            need[what] = True
    return need


def random_case(number):
    need, name = random_requirement(), some(*NAMES)
    terms = [random_term(number * 10 + n, need['policy_type'].lower() if random.random() < 0.7
                         else some('CGL', 'Umbrella', 'Excess', 'Property'), name)
             for n in range(some(0, 1, 1, 1, 2, 2, 3, 4))]
    return {'id': number, 'day': str(DAY), 'name': some(None, name, name, name), 'requirement': need, 'terms': terms}


def main():
    if sys.argv[1] == 'generate':
        random.seed(int(sys.argv[2]))
        for number in range(1, int(sys.argv[3]) + 1):
            print(json.dumps(random_case(number), ensure_ascii=False))
        return
    for line in sys.stdin:
        case = json.loads(line)
        verdict, code, term = judge(case)
        value = found(case, code, term) if term else None
        print(f"{case['id']}|{('pass', 'unknown', 'fail')[verdict]}|{code}|{'' if value is None else value}")


main()
