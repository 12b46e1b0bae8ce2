"""Case: one migration of a real guest, and what is done to it around its end, all drawn from a seed.

    case = Case(4711)      the same for the same seed, except for timing
    print(case)            '10.0 multifd=2 relay -S 160mbit … | cut 0.8s at stop+12.4ms'

acts  what is done (Act): the first at a moment of the migration, an optional second one after the first
"""
import dataclasses
import random

# active: the source's QEMU is active; pass: part of its memory was sent; stop: its guest has stopped; arrived: the
# destination's QEMU has loaded the guest; left: the source's QEMU knows that.
_MOMENTS = {'active': 1, 'pass': 1, 'stop': 6, 'arrived': 2, 'left': 1}
_AFTER = {'active': 0.05, 'pass': 0.4, 'stop': 0.05, 'arrived': 0.015, 'left': 0.01}  # seconds at most
# `freeze` stops a process for a while; `cut` interrupts the link for a while, `cut off` for good.
_ACTS = {'kill sender': 3, 'kill receiver': 3, 'kill source': 2, 'kill destination': 3, 'interrupt sender': 3,
         'interrupt receiver': 3, 'reset a': 3, 'reset b': 3, 'cut': 4, 'cut off': 3, 'cancel': 3}
_FREEZE = {'freeze sender': 1, 'freeze receiver': 2, 'freeze source': 1, 'freeze destination': 4}
_ALONE = {'nothing': 1, 'refuse device': 0.7, 'refuse machine': 0.7, 'refuse source': 0.4, 'refuse destination': 0.4}
_BY_TLS = ('refuse source', 'refuse destination')
LASTING = ('cut', *_FREEZE)


@dataclasses.dataclass(frozen=True)
class Act:
    what: str
    moment: str   # a key of _MOMENTS, or 'then': relative to the act before
    after: float  # seconds after that moment
    lasts: float = 0  # seconds

    def __str__(self):
        lasts = f' {self.lasts:.2f}s' if self.lasts else ''
        return f'{self.what}{lasts} {self.moment}+{self.after * 1000:.1f}ms'


class Case:
    def __init__(self, seed):
        self.seed = seed
        self._random = draw = random.Random(seed)
        self.version = self._choose({'7.2': 1, '10.0': 5, '11.1': 4})
        self.multifd = self._choose({0: 5, 2: 3, 4: 2})
        self.placement = self._choose({'relay': 1, 'auto': 1})
        self.return_path = draw.random() < 0.92
        # Opaque to Wherry from the second pass on, so that the destination may have the guest from then on.
        self.xbzrle = not self.multifd and draw.random() < 0.1
        # Encrypted between the QEMUs, so that only their monitors tell how the migration ended.
        self.tls = draw.random() < 0.12
        # The destination was started without -S: the guest runs as soon as it is loaded.
        self.runs = draw.random() < (0.15 if self.version == '7.2' else 0.5)
        self.ram = self._choose({'memfd': 1, 'private': 1})
        self.sender_qmp, self.receiver_qmp = draw.random() < 0.3, draw.random() < 0.85
        self.streams = self._choose({1: 1, 2: 2, 3: 1})
        self.resume = self._choose({2: 1, 3: 2})
        self.rate = self._choose({'80mbit': 1, '160mbit': 2, '400mbit': 1})
        self.downtime = self._choose({30: 1, 100: 2, 300: 2})
        self.pages = self._choose({2048: 2, 4096: 1})
        self.acts = self._draw_acts()
        # The end whose certificate the other end rejects.
        self.uncertified = self.acts[0].what.removeprefix('refuse ') if self.acts[0].what in _BY_TLS else None
        self.tls = self.tls or bool(self.uncertified)
        # Encrypted pages cannot be sent as deltas. With 30 ms the migration might never converge.
        self.downtime = max(self.downtime, 100 if self.tls else 0)

    def _choose(self, weights):
        return self._random.choices(list(weights), list(weights.values()))[0]

    def _draw_acts(self):
        draw = self._random
        what = self._choose({**_ACTS, **_FREEZE, **_ALONE})
        if what in _ALONE:
            return [Act(what, 'active', 0)]
        moment = self._choose(_MOMENTS)
        first = self._act(what, moment, draw.uniform(0, _AFTER[moment]))
        # Acts that delay the end leave time for a second one; interruptions are often repeated.
        second = 0.9 if what in _FREEZE else 0.6 if what.startswith('interrupt') or what == 'cut' else 0.25
        if draw.random() > second:
            return [first]
        again = what.startswith('interrupt') and draw.random() < 0.6
        then = what if again else self._choose(_ACTS)
        return [first, self._act(then, 'then', draw.uniform(0, first.lasts or self._choose({0.02: 1, 0.2: 1, 1: 1})))]

    def _act(self, what, moment, after):
        return Act(what, moment, after, self._random.uniform(0.05, self.resume - 1) if what in LASTING else 0)

    def refuses(self):
        return self.acts[0].what.startswith('refuse')

    def __str__(self):
        words = [self.version, f'multifd={self.multifd}' if self.multifd else 'single', self.placement,
                 f'streams={self.streams}', f'resume={self.resume}s', f'{self.ram}', self.rate,
                 f'limit={self.downtime}ms', f'pages={self.pages}', *(['-S'] if not self.runs else []),
                 *(['no-return-path'] if not self.return_path else []), *(['xbzrle'] if self.xbzrle else []),
                 *(['tls'] if self.tls else []), *(['sender-qmp'] if self.sender_qmp else []),
                 *(['no-receiver-qmp'] if not self.receiver_qmp else [])]
        return f"{' '.join(words)} | {', '.join(map(str, self.acts))}"
