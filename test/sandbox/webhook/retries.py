"""When each provider takes a webhook for delivered, and when it sends one again."""

MINUTE, HOUR = 60, 60 * 60


class Canopy:
    """Delivered is exactly 200. Before retry n of 10, 60 + n⁴ seconds pass, 7.2 hours in all."""

    DELAYS = tuple(60 + number ** 4 for number in range(1, 11))

    @staticmethod
    def is_delivered(status):
        return status == 200

    @staticmethod
    def is_refused(status):
        """Whether no retry follows such an answer."""
        return False

    @classmethod
    def delay(cls, attempt, source):
        """Seconds between the end of an attempt and the next."""
        return cls.DELAYS[attempt - 1]


class Summit:
    """Delivered is any 2xx; a 4xx is final, but for 408, 429 and 499. Eight attempts in 24 hours.

    The guide lists when the attempts are due and adds "full jitter". Here that is a draw between
    no wait and the whole step of the list, so that no attempt comes later than the list says.
    """

    TIMES = (0, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR)
    DELAYS = tuple(later - earlier for earlier, later in zip(TIMES, TIMES[1:]))

    @staticmethod
    def is_delivered(status):
        return 200 <= status <= 299

    @staticmethod
    def is_refused(status):
        return 400 <= status <= 499 and status not in (408, 429, 499)

    @classmethod
    def delay(cls, attempt, source):
        """Seconds between the end of an attempt and the next, drawn from the source if there is one."""
        return cls.DELAYS[attempt - 1] * (source.random() if source else 1)


POLICIES = {"canopy": Canopy, "summit": Summit}


def attempts(provider):
    """How often a webhook is sent at most."""
    return 1 + len(POLICIES[provider].DELAYS)
