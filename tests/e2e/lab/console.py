"""Console: the output of the test guest (tests/guest/guest.c) on one host, and what it reports about its memory.

    console = Console('/path/of/the/serial/file', alive)
    console.wait_ready()

alive   called while waiting; raises when the guest will print no more
"""
import re
from pathlib import Path

from .process import wait_until


class Console:
    def __init__(self, path, alive):
        self._path, self._alive = path, alive

    def console(self):
        """The complete lines so far. The first line at a destination can be the rest of a line begun at the source."""
        try:
            text = Path(self._path).read_text(errors='replace')
        except FileNotFoundError:
            return []
        return text.split('\n')[:-1]

    def wait_console(self, condition, timeout, what):
        """Waits until condition(lines of the console) is true, and returns that."""
        def check():
            lines = self.console()
            for line in lines:
                if line.startswith('wherry-guest error'):
                    raise RuntimeError(line)
            result = condition(lines)
            if not result:
                self._alive()
            return result
        return wait_until(check, timeout, what)

    def wait_ready(self, timeout=30):
        self.wait_console(lambda lines: 'wherry-guest ready' in lines, timeout, 'guest that is ready')

    def ticks(self):
        """All complete tick lines as dicts of int: tick, touched, verified, bad."""
        matches = (re.fullmatch(r'tick=(\d+) touched=(\d+) verified=(\d+) bad=(\d+)', l) for l in self.console())
        return [dict(zip(('tick', 'touched', 'verified', 'bad'), map(int, m.groups()))) for m in matches if m]

    def last_tick(self):
        ticks = self.ticks()
        return ticks[-1] if ticks else None

    def bad(self):
        """The faults that the guest found: its BAD lines, or its count if only that is left. Empty if there are none."""
        lines = [line for line in self.console() if line.startswith('BAD')]
        tick = self.last_tick()
        return lines or ([f"bad={tick['bad']}"] if tick and tick['bad'] else [])

    def wait_verified(self, pages, timeout=30, passed_ticks=0):
        """Waits until the running guest has checked `pages` more pages than at its first tick here, without the first
        `passed_ticks` ticks."""
        def enough(_):
            ticks = self.ticks()[passed_ticks:]
            return ticks and ticks[-1]['verified'] - ticks[0]['verified'] >= pages
        self.wait_console(enough, timeout, f'{pages} pages verified')
