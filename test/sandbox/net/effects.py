"""What Canopy's writing operations were asked to do, and how often they did it.

Canopy knows no idempotency keys: the same request twice is two effects, and that is what is counted.
"""

import threading


class Effects:
    """Requests and effects by operation, path and body."""

    def __init__(self):
        self.lock = threading.Lock()
        self.clear()

    def clear(self):
        with self.lock:
            self.rows = {}

    def count(self, what, entry):
        """Adds one to "requests" or "effects" of the request in a journal entry."""
        key = entry["operation"], entry["path"], entry["body_sha256"]
        with self.lock:
            row = self.rows.setdefault(key, {"requests": 0, "effects": 0})
            row[what] += 1

    def list(self):
        with self.lock:
            return [{"operation": operation, "path": path, "body_sha256": body, **counts}
                    for (operation, path, body), counts in self.rows.items()]

    def summary(self):
        rows = self.list()
        return {"requests": sum(row["requests"] for row in rows), "effects": sum(row["effects"] for row in rows),
                "duplicate_effects": sum(max(0, row["effects"] - 1) for row in rows)}
