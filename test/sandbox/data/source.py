"""A deterministic source of choices: the same seed and key always give the same values."""

import datetime
import hashlib
import random
import uuid

NAMESPACE = uuid.UUID("5a9d0b0c-7a34-4c55-9c6e-2f0d54e1c001")


class Source(random.Random):
    """A random stream named by its key; two keys never share a stream."""

    def __init__(self, *key):
        self.key = "/".join(map(str, key))
        super().__init__(int.from_bytes(hashlib.sha256(self.key.encode()).digest()[:8], "big"))

    def uuid(self):
        """The next version-4 shaped id of this stream."""
        return str(uuid.UUID(int=self.getrandbits(128), version=4))

    def digits(self, count):
        return "".join(self.choice("0123456789") for _ in range(count))

    def chance(self, probability):
        return self.random() < probability

    def phone(self):
        return f"{self.choice((206, 312, 415, 512, 617, 704, 813))}555{self.randint(100, 199):04d}"


def named_uuid(*key):
    """The id that belongs to a key, the same in every run."""
    return str(uuid.uuid5(NAMESPACE, "/".join(map(str, key))))


def instant(day, hour=0, minute=0, second=0):
    """A date as the API writes instants, e.g. 2026-01-01T05:00:00.000Z."""
    return f"{day.isoformat()}T{hour:02d}:{minute:02d}:{second:02d}.000Z"


def midnight(day):
    """Midnight of a policy date in US Eastern time, in UTC: 05:00 in winter, 04:00 in summer."""
    summer = datetime.date(day.year, 3, 10) <= day < datetime.date(day.year, 11, 3)
    return instant(day, 4 if summer else 5)


def add_months(day, months):
    """The same day some months later (days above 28 become 28)."""
    index = day.year * 12 + day.month - 1 + months
    return datetime.date(index // 12, index % 12 + 1, min(day.day, 28))
