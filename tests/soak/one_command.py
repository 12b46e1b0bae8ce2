"""One migration by `wherry migrate --from --to`, with postcopy or without, what is done to it, and what must hold
afterwards. Both ends are one process, and Wherry resumes the guest at the destination.

    case = Migrate(4711)        drawn from a seed, like Case
    verdict, codes = play(case)
"""
import contextlib
import random
import signal
import time

from case import Act
from judge import Judge
from lab import ENDED, Guest, QmpError, Wherry
from play import reach

# The moments are those of case.py. With postcopy, the guest stops soon after postcopy was started.
_MOMENTS = {'active': 2, 'stop': 6, 'arrived': 2, 'left': 1}
_AFTER = {'active': 0.3, 'stop': 0.05, 'arrived': 0.015, 'left': 0.01}  # seconds at most
_ACTS = {'nothing': 4, 'kill wherry': 3, 'kill source': 2, 'kill destination': 2, 'interrupt wherry': 3, 'cancel': 3,
         'freeze wherry': 1, 'freeze source': 1, 'freeze destination': 2}
_PAGES, _RAM_KIB, _RESUME = 2048, 49160, 2


class Migrate:
    def __init__(self, seed):
        draw = random.Random(f'migrate {seed}')

        def choose(weights):
            return draw.choices(list(weights), list(weights.values()))[0]
        self.version = choose({'7.2': 1, '10.0': 1, '11.1': 1})
        self.postcopy = draw.random() < 0.5
        self.multifd = 0 if self.postcopy else choose({0: 2, 2: 1})
        self.ram = choose({'memfd': 1, 'private': 1})
        self.runs = draw.random() < 0.5  # whether the destination was started without -S
        self.rate = choose({'80Mbps': 1, '160Mbps': 1, '400Mbps': 1})
        what, moment = choose(_ACTS), choose(_MOMENTS)
        lasts = draw.uniform(0.05, _RESUME - 1) if what.startswith('freeze') else 0
        self.acts = [Act(what, moment, draw.uniform(0, _AFTER[moment]), lasts)]
        if what.startswith('interrupt') and draw.random() < 0.5:
            self.acts.append(Act(what, 'then', draw.uniform(0, 0.5)))
        if self.postcopy:
            self.acts.insert(0 if moment != 'active' else draw.choice((0, 1)),
                             Act('postcopy', 'active', draw.uniform(0, 0.3)))

    def __str__(self):
        words = ['migrate', self.version, f'multifd={self.multifd}' if self.multifd else 'single', self.ram, self.rate,
                 *(['-S'] if not self.runs else [])]
        return f"{' '.join(words)} | {', '.join(map(str, self.acts))}"


class _Played:
    """Both guests and the command, while the acts are played. `at`: the acts with their wall-clock times. `never_came`: the
    moment that was waited for in vain."""

    def __init__(self, case, stack):
        self.case, self.at, self.never_came = case, [], ''
        # Under TCG, QEMU 11.1 loses pages that were written shortly before postcopy (test_postcopy.py).
        written = 0 if case.postcopy and case.version == '11.1' else 2000
        guest = {'ram_kib': _RAM_KIB, 'append': f'pages={_PAGES} rate={written} mix=text:60,random:30,flip:10 verify=20000'}
        self.src = stack.enter_context(Guest(case.version, **guest, ram='private'))
        self.dst = stack.enter_context(Guest(case.version, **guest, ram=case.ram, incoming=True, autostart=case.runs))
        self.src.wait_ready()
        self.src.configure_migration(case.multifd, ['postcopy-ram'] if case.postcopy else [])
        self.dst.execute('migrate-set-capabilities', capabilities=[{'capability': 'events', 'state': True}])
        self.wherry = stack.enter_context(Wherry.migrate(
            self.src.qmp_path, self.dst.qmp_path,
            f'wherry://127.0.0.1:0?bandwidth={case.rate}&downtime=100ms&resume={_RESUME}s'))
        self.processes = {'wherry': self.wherry.process, 'source': self.src.process, 'destination': self.dst.process}

    def play(self):
        for act in self.case.acts:
            if act.what != 'nothing':
                self._act(act)
        deadline = time.monotonic() + 40
        while self.wherry.returncode is None and time.monotonic() < deadline:
            time.sleep(0.01)

    def _act(self, act):
        try:
            if act.moment != 'then':
                reach(self.src, self.dst, act.moment)
        except (OSError, QmpError) as error:
            self.never_came = f'{act.moment}: {error!r}'
            return
        time.sleep(act.after)
        self.at.append((act.what, time.time()))
        kind, _, whom = act.what.partition(' ')
        if command := {'postcopy': 'migrate-start-postcopy', 'cancel': 'migrate_cancel'}.get(kind):
            with contextlib.suppress(OSError, QmpError):  # the migration is over, or the process was killed
                self.src.execute(command)
            return
        process = self.processes[whom]
        process.send_signal({'kill': signal.SIGKILL, 'interrupt': signal.SIGINT, 'freeze': signal.SIGSTOP}[kind])
        if kind == 'kill':
            process.wait()
        if kind == 'freeze':
            time.sleep(act.lasts)
            process.send_signal(signal.SIGCONT)

    def did(self, kind):
        return [what for what, _ in self.at if what.startswith(kind)]


class _Judge(Judge):
    def __init__(self, played):
        super().__init__(played.src, played.dst, _PAGES)
        self.case, self.played, self.code = played.case, played, played.wherry.returncode
        self.killed = {what.removeprefix('kill ') for what in played.did('kill')}

    def judge(self):
        self.settle()
        self.verdict.outcome = self.where()
        self.check_once()
        self.check_code()
        # QEMU 11.1 fails by itself if all pages are sent when postcopy starts; the guest stays at the source.
        if self.played.never_came and not (self.case.postcopy and self.src.runs and self.code == 1):
            self.wrong(f'the moment never came: {self.played.never_came}')
        self.note()
        return self.verdict

    def settle(self):
        """Waits until both QEMUs have left the migration, or are stuck in the middle of postcopy."""
        over = (*ENDED, 'postcopy-paused', 'dead')
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self.src.look().migration in over and self.dst.look().migration in over:
                return
            time.sleep(0.05)

    def spans(self, name, seen, guest, began):
        """The time spans in which the guest ran there."""
        spans, end = [[began, None]] if began else [], None
        for event in guest.qmp.events:
            if event['event'] == 'RESUME' and not (spans and spans[-1][1] is None):
                spans.append([event['time'], None])
            elif event['event'] == 'STOP' and spans and spans[-1][1] is None:
                spans[-1][1] = event['time']
        end = next((when for what, when in self.played.at if what == f'kill {name}'), time.time())
        return [(since, until or end) for since, until in spans]

    def check_once(self):
        here = self.spans('source', self.src, self.played.src, 1)
        there = self.spans('destination', self.dst, self.played.dst, None)
        twice = any(a < d and c < b for a, b in here for c, d in there)
        # Possible with plain QEMU too. Without -S, a cancellation can cross the message that the guest has arrived. And a
        # source that has sent all pages in postcopy resumes the guest if a kill or a second Ctrl-C closes its connection.
        closed = 'wherry' in self.killed or len(self.played.did('interrupt')) > 1
        allowed = (self.case.runs and self.may_be_unknown()) or (self.shared() and closed)
        if twice and not allowed:
            self.wrong('the guest ran twice')
        if twice and self.code not in (3, -signal.SIGKILL):
            self.wrong(f'the guest ran twice, and wherry ends with {self.code}')

    def may_be_unknown(self):
        played = self.played
        return bool(self.killed or played.did('cancel') or len(played.did('interrupt')) > 1)

    def where(self):
        src, dst = self.src, self.dst
        if src.runs and dst.runs:
            return 'doubled as by a relay'  # whether that is permitted, check_once() decides
        if src.runs:
            self.check_runs(self.played.src)
            return 'at the source'
        if 'postcopy-paused' in (src.migration, dst.migration) or (self.shared() and self.killed and not dst.runs):
            return 'cut in postcopy'
        if dst.runs:
            self.check_runs(self.played.dst)
            return 'at the destination'
        if dst.migration == 'completed' and 'wherry' in self.killed:
            self.played.dst.cont()
            self.check_runs(self.played.dst)
            return 'left stopped at the destination'
        if 'source' in self.killed and not dst.ran:
            return 'killed with the source'
        if 'destination' in self.killed and (src.status == 'postmigrate' or self.arrived()):
            return 'killed with the destination'
        if 'wherry' in self.killed and self.case.multifd and src.status == 'finish-migrate':
            return 'stuck'  # QEMU is stuck by itself: see verdict.py
        self.wrong('the guest is lost')
        return 'lost'

    def shared(self):
        return self.src.said('MIGRATION', status='postcopy-active') is not None

    def arrived(self):
        return self.dst.ran or self.dst.said('MIGRATION', status='completed') is not None

    def check_good(self, guest):
        # See above: read-only, one page in many was found wrong for a moment.
        if not (self.case.postcopy and self.case.version == '11.1'):
            super().check_good(guest)

    def check_code(self):
        code, src, dst = self.code, self.src, self.dst
        if 'wherry' in self.killed and code == -signal.SIGKILL:
            return
        if not self.check_status('wherry', code, self.played.wherry, self.played.did('cancel')):
            return
        if code == 0 and not (dst.runs or 'destination' in self.killed):
            self.wrong(f'wherry says completed, and the destination is {dst}')
        if code in (1, 130) and not (src.runs or src.dead):
            self.wrong(f'wherry says that the guest stays, and the source is {src}')
        if code in (1, 130) and src.dead and self.arrived() and not dst.dead:
            self.wrong(f'wherry says failed, and the guest is at the destination, {dst}')
        if code == 130 and not self.played.did('interrupt'):
            self.wrong('wherry says interrupted, and was not')
        if code == 3 and not self.may_be_unknown():
            self.wrong('wherry says unknown without a reason')

    def note(self):
        self.add_evidence([(when, what) for what, when in self.played.at], {'wherry': self.played.wherry})


def play(case):
    with contextlib.ExitStack() as stack:
        played = _Played(case, stack)
        played.play()
        return _Judge(played).judge(), str(played.wherry.returncode)
