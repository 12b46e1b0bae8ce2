"""What is judged alike of every migration that was played, by two ends of Wherry (verdict.py) or by one command
(one_command.py): what both QEMUs say of themselves, whether a guest goes on with its memory right, whether an exit status
and a report say the same. And the evidence.

    class Mine(Judge): …
    verdict.outcome      where the guest is, in a word
    verdict.violations   what must never be; empty when all is well
    verdict.evidence     what was seen, for whoever looks into it
"""
import dataclasses

from lab import QmpError

STATUS = {0: ['completed'], 1: ['failed', 'cancelled'], 3: ['unknown'], 130: ['cancelled']}


@dataclasses.dataclass
class Verdict:
    outcome: str = '?'
    violations: list = dataclasses.field(default_factory=list)
    evidence: list = dataclasses.field(default_factory=list)


class Seen:
    """What one QEMU says of itself; it may be dead, or not answer (its loader holds it up): 'mute' from then on."""

    def __init__(self, guest):
        self._guest, self._mute = guest, False
        self.look()

    def look(self):
        """Looks anew. `migration`, `status` as QEMU says, or 'dead', 'mute'; `dead`; `runs`; `ran`: at any time."""
        qmp = self._guest.qmp
        self.dead = self._guest.process.poll() is not None
        self.migration = self.status = 'dead' if self.dead else 'mute'
        if not self.dead and not self._mute:
            try:
                self.migration = qmp.execute('query-migrate', 5).get('status', 'none')
                self.status = qmp.execute('query-status', 5)['status']
            except (OSError, QmpError) as error:
                if isinstance(error, TimeoutError):
                    self._mute = True
                    self.migration = self.status = 'mute'
                else:  # it has just ended
                    self._guest.process.wait(5)
                    self.dead, self.migration, self.status = True, 'dead', 'dead'
        qmp.take_in()
        self.runs = self.status == 'running'
        self.ran = self.runs or qmp.find_event('RESUME') is not None
        return self

    def said(self, name, **data):
        """When QEMU sent that event: a wall clock's time, or None."""
        event = self._guest.qmp.find_event(name, **data)
        return event and event['time']

    def __str__(self):
        return f'{self.migration},{self.status}'


class Judge:
    def __init__(self, source, destination, pages):
        self.guests = {'source': source, 'destination': destination}
        self.src, self.dst = Seen(source), Seen(destination)
        self.pages, self.verdict = pages, Verdict()

    def wrong(self, what):
        self.verdict.violations.append(what)

    def check_runs(self, guest, passed_ticks=None):
        """The guest goes on, and finds each page of its memory right."""
        ticks = len(guest.ticks()) if passed_ticks is None else passed_ticks
        try:
            guest.wait_verified(self.pages, timeout=30, passed_ticks=ticks)
        except Exception as error:
            self.wrong(f'the guest does not go on: {error}')
        self.check_good(guest)

    def check_good(self, guest):
        if bad := guest.bad():
            self.wrong(f'the guest found {bad[:5]}')

    def check_status(self, who, code, wherry, cancelled):
        """The exit status is one of Wherry's, and the report says the same. False: it is another. `cancelled`: somebody has
        cancelled the migration at the source's monitor."""
        if code not in STATUS:
            self.wrong(f'{who} has not ended' if code is None else f'{who} has ended with {code}')
            return False
        try:
            status = wherry.report['status']
        except (OSError, ValueError) as error:
            status = repr(error)
        if status not in STATUS[code] or (code == 1 and status == 'cancelled' and not cancelled):
            self.wrong(f'{who} ends with {code}, and its report says {status}')
        return True

    def add_evidence(self, times, wherrys, began=None):
        """Everything by its time from the guest's stop on, else from `began` on, or from the first: `times` are (wall clock,
        what). Then what the processes said; `wherrys`: by name."""
        seen = {'source': self.src, 'destination': self.dst}
        for name, guest in self.guests.items():
            for event in guest.qmp.events:
                what = event['event'] if event['event'] != 'MIGRATION' else event['data']['status']
                times.append((event['time'], f'{name}:{what}'))
        since = self.src.said('STOP') or began or min(times, default=(0,))[0]
        note = self.verdict.evidence.append
        note(' '.join(f'{what}@{(when - since) * 1000:+.1f}' for when, what in sorted(times)))
        for name, wherry in wherrys.items():
            note(f'{name} ({wherry.returncode}): {wherry.stderr}')
        for name, guest in self.guests.items():
            note(f'{name} QEMU ({seen[name]}): {guest.stderr()}')
