"""The control service: plain HTTP and JSON, for tests to read the journal, arm faults, change pulls."""

import urllib.parse

from net.wire import Response, Service


class Control(Service):
    """Routes of the control port; see README.md for their meaning."""

    def __init__(self, state, effects, summit, webhooks, journal, armed, listeners):
        self.state = state
        self.effects = effects
        self.summit = summit
        self.webhooks = webhooks
        self.journal = journal
        self.faults = armed
        self.listeners = listeners
        self.routes = {
            ("GET", "log"): self.get_log, ("DELETE", "log"): self.delete_log,
            ("GET", "fault"): self.get_faults, ("POST", "fault"): self.post_fault, ("DELETE", "fault"): self.delete_faults,
            ("POST", "release"): self.post_release,
            ("GET", "listener"): self.get_listener, ("POST", "listener"): self.post_listener,
            ("DELETE", "listener"): self.delete_listener,
            ("GET", "pulls"): self.get_pulls, ("GET", "pull"): self.get_pull, ("PUT", "pull"): self.put_pull,
            ("PATCH", "pull"): self.patch_pull, ("DELETE", "pull"): self.delete_pull, ("DELETE", "state"): self.delete_state,
            ("GET", "apps"): self.get_apps, ("PUT", "apps"): self.put_apps, ("POST", "apps"): self.post_apps,
            ("DELETE", "apps"): self.delete_apps,
            ("GET", "effects"): self.get_effects, ("DELETE", "effects"): self.delete_effects,
            **summit.routes, **webhooks.routes,
        }

    def answer(self, request):
        resource, _, name = request.path.strip("/").partition("/")
        route = self.routes.get((request.method, resource))
        if route is None:
            return Response.error(404, "NOT_FOUND")
        try:
            result = route(request, urllib.parse.unquote(name))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return Response.error(400, "BAD_REQUEST", detail=f"{type(error).__name__}: {error}")
        return result if isinstance(result, Response) else Response.of(result)

    def get_log(self, request, name):
        query = request.query
        fields = query["fields"].split(",") if "fields" in query else None
        return {"dropped": self.journal.dropped,
                "requests": self.journal.list(int(query.get("after", 0)), query.get("path", ""), fields)}

    def delete_log(self, request, name):
        self.journal.clear()
        return {}

    def get_apps(self, request, name):
        with self.state.lock:
            return {**self.state.apps.counts, **self.state.apps.settings}

    def put_apps(self, request, name):
        with self.state.lock:
            self.state.apps.settings.update(request.json())
        return {}

    def post_apps(self, request, name):
        with self.state.lock:
            return self.state.apps.agree(request.json()["url"])

    def delete_apps(self, request, name):
        with self.state.lock:
            self.state.apps.revoke() if name == "all" else self.state.apps.expire()
        return {}

    def get_faults(self, request, name):
        return {"faults": self.faults.list()}

    def post_fault(self, request, name):
        return {"number": self.faults.arm(request.json())}

    def delete_faults(self, request, name):
        self.faults.clear(int(name) if name else None)
        return {}

    def post_release(self, request, name):
        self.faults.release(int(name), (request.json() if request.body else {}).get("count"))
        return {}

    def get_listener(self, request, name):
        return self.listeners.describe(int(name))

    def post_listener(self, request, name):
        document = request.json()
        return {"port": self.listeners.open(document["kind"], document.get("service", "api"))}

    def delete_listener(self, request, name):
        self.listeners.close(int(name))
        return {}

    def get_pulls(self, request, name):
        with self.state.lock:
            return {"pulls": [{"username": pull.username, "pull_id": pull.pull_id, "created_at": pull.created_at,
                               "status": pull.document.get("status"), "pull_jwt": self.state.pull_jwt(pull.pull_id)}
                              for pull in self.state.sorted_pulls()]}

    def get_pull(self, request, name):
        return Response(200, self.state.pulls[name].render(with_property_data=True))

    def put_pull(self, request, name):
        self.state.put_raw(name, request.body)
        return {}

    def patch_pull(self, request, name):
        with self.state.lock:
            self.state.pulls[name].change(**request.json())
        return {}

    def delete_pull(self, request, name):
        with self.state.lock:
            del self.state.pulls[name]
        return {}

    def delete_state(self, request, name):
        self.state.reset()
        self.summit.reset()
        self.webhooks.reset()
        self.effects.clear()
        return {}

    def get_effects(self, request, name):
        return {
            "": lambda: {"canopy": self.effects.summary(), "summit": self.summit.uploads.summary()},
            "canopy": lambda: {"operations": self.effects.list()},
            "summit": lambda: {"uploads": self.summit.uploads.list()},
        }[name]()

    def delete_effects(self, request, name):
        self.effects.clear()
        self.summit.uploads.clear_effects()
        return {}
