"""The registry of behaviours: what each operation does.

An operation for which nothing is registered answers a sample of its documented schema.
"""

from canopy.call import ApiError
from data import sample
from data.catalogue import resolve
from data.source import Source
from net.wire import Response

BEHAVIOUR = {}


def behaves(name):
    """Registers a function (state, call) as the behaviour of an operation."""
    def register(function):
        BEHAVIOUR[name] = function
        return function
    return register


def answer(state, call):
    """The Response to a call that was let in; ApiError if it fails."""
    team = state.teams.get(call.params.get("teamId"))
    if team and not team["active"] and call.operation.documents("SUBSCRIPTION_INACTIVE"):
        message = call.operation.responses["403"].get("message")
        raise ApiError("SUBSCRIPTION_INACTIVE", **({"message": message} if message else {}))
    result = BEHAVIOUR.get(call.operation.name, sampled)(state, call)
    return result if isinstance(result, Response) else Response.of(result)


def sampled(state, call):
    """A plausible instance of the documented answer, the same for the same request."""
    _, facts = call.operation.success
    source = Source(state.settings.seed, call.operation.name, call.request.target)
    return sample.walk(resolve(facts["schema"]), sample.Plausible(source))


def found(store, key):
    """The stored thing, or the operation's not-found error."""
    if key not in store:
        raise ApiError("NOT_FOUND")
    return store[key]


def the_pull(state, call):
    return found(state.pulls, call.params["pullId"])
