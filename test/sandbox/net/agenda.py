"""Calls of functions at their times, by a few threads."""

import heapq
import itertools
import threading
import time
import traceback


class Entry:
    """One call to come. Of its delay only a scaled one follows changes of the scale."""

    def __init__(self, function, delay, is_scaled):
        self.function = function
        self.added_at = time.monotonic()
        self.delay = delay
        self.is_scaled = is_scaled

    def due(self, scale):
        return self.added_at + self.delay * (scale if self.is_scaled else 1)


class Agenda:
    """A heap of calls that are due, in the order of their times and then of their entry."""

    def __init__(self, threads):
        self.changed = threading.Condition()
        self.threads = threads
        self.running = 0
        self.scale = 1.0
        self.numbers = itertools.count()
        self.heap = []

    def add(self, function, delay=0.0, is_scaled=False):
        """Has the function called so many seconds from now; the first call of this starts the threads."""
        entry = Entry(function, delay, is_scaled)
        with self.changed:
            heapq.heappush(self.heap, (entry.due(self.scale), next(self.numbers), entry))
            self.changed.notify()
            self.start()

    def start(self):
        while self.running < self.threads:
            self.running += 1
            threading.Thread(target=self.work, daemon=True).start()

    def change(self, scale, threads):
        """Another scale, also for what waits already, and another number of threads."""
        with self.changed:
            self.scale, self.threads = scale, threads
            self.heap = [(entry.due(scale), number, entry) for _, number, entry in self.heap]
            heapq.heapify(self.heap)
            if self.heap:
                self.start()
            self.changed.notify_all()

    def clear(self):
        with self.changed:
            self.heap.clear()

    def work(self):
        while function := self.next():
            try:
                function()
            except Exception:
                traceback.print_exc()

    def next(self):
        """Waits for a call that is due; None for a thread that is no longer wanted."""
        with self.changed:
            while self.running <= self.threads:
                wait = self.heap[0][0] - time.monotonic() if self.heap else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self.heap)[2].function
                self.changed.wait(wait)
            self.running -= 1
            return None
