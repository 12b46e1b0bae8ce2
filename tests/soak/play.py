"""Plays a Case: starts its migration, acts at the right moments, and waits for both ends of Wherry.

    with lay(case) as pair:
        done = play(case, pair)

Done records what can explain the end: which processes were killed, how often Wherry was interrupted, whether the link is cut.
"""
import contextlib
import dataclasses
import functools
import signal
import threading
import time

from lab import STAYED, Certificates, Pair, QmpError

certificates = functools.cache(Certificates)


@dataclasses.dataclass
class Done:
    began: float = 0  # wall-clock time, as in QEMU's events
    killed: set = dataclasses.field(default_factory=set)
    interrupted: dict = dataclasses.field(default_factory=lambda: {'sender': 0, 'receiver': 0})
    cut_off: bool = False
    cancelled: bool = False
    nudged: bool = False  # QEMU never connected, so Wherry was interrupted, as a person would do
    at: list = dataclasses.field(default_factory=list)     # (what, wall-clock time) of each act
    ended: dict = dataclasses.field(default_factory=dict)  # by 'sender', 'receiver': wall-clock time when its end was seen
    never_came: str = ''  # a moment that was waited for in vain


def lay(case):
    """Starts both guests, the link and both ends of Wherry, ready to migrate."""
    guest = {'append': f'pages={case.pages} rate=2000 mix=text:60,random:30,flip:10 verify=20000', 'ram_kib': 49160}
    source, destination = dict(guest), {**guest, 'ram': case.ram, 'autostart': case.runs}
    if case.acts[0].what == 'refuse device':
        source['extra'] = ('-device', 'virtio-rng-pci')
    if case.acts[0].what == 'refuse machine':
        destination['machine'] = 'q35'
    parameters = {'downtime_limit': case.downtime}
    if case.tls:
        parameters |= {'tls_creds': 'tls', 'tls_hostname': 'peer'}
        for name, end, options in (('source', 'client', source), ('destination', 'server', destination)):
            tls = certificates().end(end, 'other' if case.uncertified == name else 'known')['extra']
            options['extra'] = (*options.get('extra', ()), *tls)
    return Pair(case.version, multifd=case.multifd, placement=case.placement, rate=case.rate,
                source=source, destination=destination, return_path=case.return_path,
                sender_qmp=case.sender_qmp, qmp=case.receiver_qmp,
                capabilities=('xbzrle',) if case.xbzrle else (), parameters=parameters,
                keys=f'streams={case.streams}&resume={case.resume}s&downtime={case.downtime}ms')


def play(case, pair):
    done = Done(began=time.time())
    pair.migrate()
    if case.acts[0].what != 'nothing' and not case.refuses():
        try:
            reach(pair.src, pair.dst, case.acts[0].moment)
        except (OSError, QmpError) as error:
            done.never_came = f'{case.acts[0].moment}: {error!r}'
        else:
            _act(case, pair, done)
    _wait_ended(case, pair, done)
    return done


def reach(source, destination, moment):
    """Waits until the migration between the two guests has come so far."""
    guest, event, data = {'active': (source, 'MIGRATION', {'status': 'active'}),
                          'pass': (source, 'MIGRATION', {'status': 'active'}),
                          'stop': (source, 'STOP', {}),
                          'arrived': (destination, 'MIGRATION', {'status': 'completed'}),
                          'left': (source, 'MIGRATION', {'status': 'completed'})}[moment]
    guest.qmp.wait_event(event, 30, **data)


def _act(case, pair, done):
    """All acts, and the ends of those that last, in the order of time."""
    due, plan = time.monotonic(), []
    for act in case.acts:
        due += act.after
        plan.append((due, act.what))
        if act.lasts:
            plan.append((due + act.lasts, f'end {act.what}'))
    with contextlib.ExitStack() as until_answered:
        for when, what in sorted(plan):
            time.sleep(max(0, when - time.monotonic()))
            done.at.append((what, time.time()))
            _do(what, pair, done, until_answered)


def _do(what, pair, done, until_answered):
    kind, _, whom = what.removeprefix('end ').partition(' ')
    owner = {'sender': pair.sender, 'receiver': pair.receiver, 'source': pair.src, 'destination': pair.dst}.get(whom)
    process = owner and owner.process
    if what.startswith('end freeze'):
        process.send_signal(signal.SIGCONT)
    elif what == 'end cut':
        if not done.cut_off:
            pair.link.mend()
    elif kind == 'freeze':
        process.send_signal(signal.SIGSTOP)
    elif kind == 'kill':
        if process.poll() is None:
            done.killed.add(whom)
        process.kill()
        process.wait()
    elif kind == 'interrupt':
        if process.poll() is None:
            done.interrupted[whom] += 1
        process.send_signal(signal.SIGINT)
    elif kind == 'reset':
        pair.link.reset_all(whom)
    elif kind == 'cut':
        pair.link.cut()
        done.cut_off = done.cut_off or whom == 'off'
    elif kind == 'cancel':
        done.cancelled = True
        cancelling = threading.Thread(target=_cancel, args=[pair.src])
        cancelling.start()
        until_answered.callback(cancelling.join)
    else:
        raise ValueError(what)


def _cancel(guest):
    """Runs in a thread of its own, because a frozen QEMU answers late."""
    with contextlib.suppress(OSError, QmpError):  # it was killed
        guest.qmp.execute('migrate_cancel', 30)


def _wait_ended(case, pair, done):
    """Waits until both ends of Wherry have ended, far longer than that should take."""
    waiting = {'sender': pair.sender, 'receiver': pair.receiver}
    last = max([done.began, *(when for _, when in done.at)])
    while waiting and time.time() < last + 30 + 2 * case.resume:
        for name, wherry in list(waiting.items()):
            if wherry.returncode is not None:
                done.ended[name] = time.time()
                del waiting[name]
        if waiting and not done.nudged and time.time() > last + 2 * case.resume + 5 and _never_begun(case, pair):
            done.nudged = True
            for name, wherry in waiting.items():
                wherry.process.send_signal(signal.SIGINT)
                done.interrupted[name] += 1
        time.sleep(0.01)


def _never_begun(case, pair):
    """Whether the source's QEMU left before its first byte. Wherry cannot know, and would wait for another QEMU."""
    pair.dst.qmp.take_in()
    if case.acts[0].moment != 'active' or pair.dst.qmp.find_event('MIGRATION', status='active'):
        return False
    if pair.src.process.poll() is not None:
        return True
    with contextlib.suppress(OSError, QmpError):
        return pair.src.qmp.execute('query-migrate', 5).get('status') in STAYED
    return False
