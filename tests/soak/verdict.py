"""What must hold after any Case: the guest runs on exactly one host, and what both ends of Wherry said is true.

    verdict = judge(case, pair, done)     see judge.py
"""
from judge import Judge
from lab import ENDED, compare_ram, wait_until


class _Judge(Judge):
    def __init__(self, case, pair, done):
        super().__init__(pair.src, pair.dst, case.pages)
        self.case, self.pair, self.done = case, pair, done
        self.codes = {name: getattr(pair, name).returncode for name in ('sender', 'receiver')}

    # Waiting for the QEMUs

    def settle(self):
        """Waits until both QEMUs have left the migration. With multifd, a destination without channels can wait for ever."""
        def source_out():
            self.src.look()
            # If it is cancelled while it connects multifd, it can stay so for ever, without Wherry too (test_ends.py).
            stuck = self.src.migration == 'cancelling' and self.case.multifd and self.case.acts[0].moment == 'active'
            return self.src.dead or (self.src.migration in ENDED and self.src.status != 'finish-migrate') or stuck

        def destination_out():
            self.dst.look()
            return self.dst.dead or self.dst.migration in ENDED
        self.wait(source_out, 10)
        # Without a return path, the source's status says nothing about the destination.
        self.wait(destination_out, 10 if self.src.migration == 'completed' else 2)
        self.completed = self.src.migration == 'completed' or (
            self.src.dead and self.src.said('MIGRATION', status='completed') is not None)
        # The destination had the guest, even if it was killed since.
        self.arrived = (self.dst.migration == 'completed' or self.dst.ran
                        or self.dst.said('MIGRATION', status='completed') is not None)

    @staticmethod
    def wait(condition, seconds):
        try:
            wait_until(condition, seconds, '')
        except TimeoutError:
            return False
        return True

    # Where the guest is

    def judge(self):
        self.settle()
        where = self.where()
        self.verdict.outcome = where
        if self.case.refuses() and self.arrived:
            self.wrong('a destination that must refuse the guest has it')
        self.check_accounts()
        self.check_times()
        if self.done.never_came:
            self.wrong(f'the moment never came: {self.done.never_came}')
        for name, seen in (('source', self.src), ('destination', self.dst)):
            if name == 'source' and seen.dead and 'source' not in self.done.killed:
                self.wrong("the source's QEMU has ended by itself")
        self.note()
        return self.verdict

    def where(self):
        src, dst, killed = self.src, self.dst, self.done.killed
        if src.runs and (dst.runs or (dst.ran and dst.dead)):
            return self.judge_doubled()
        if src.runs:
            self.check_runs(self.pair.src)
            if self.dst.look().ran:
                self.wrong('the guest has run at the destination, and runs at the source')
            if dst.migration == 'completed':
                return 'at the source, loaded at the destination'
            return 'at the source' if dst.migration in (*ENDED, 'dead') else 'at the source, destination loads for ever'
        if not src.dead and src.migration not in ENDED:
            # When the sender has ended, the kernel has closed QEMU's connections. If the sender was killed, or QEMU's main
            # loop hangs, QEMU is stuck by itself (10.0, multifd, closed just after STOP).
            by_itself = 'sender' in killed or (src.status == 'mute' and self.codes['sender'] is not None)
            if not by_itself:
                self.wrong(f'the source is stuck: {src}')
            return 'stuck'
        if dst.migration == 'completed' and not dst.dead:
            self.check_arrived()
            return 'at the destination'
        if src.dead and not self.arrived:
            return 'killed with the source'
        if 'destination' in killed and (self.completed or self.arrived):
            if not src.dead and src.status != 'postmigrate':
                self.wrong(f'the source is {src}')
            return 'killed with the destination'
        if src.status == 'postmigrate' and not self.case.return_path:
            self.pair.src.cont()  # nothing tells the source's QEMU; an operator has to decide
            self.check_runs(self.pair.src)
            return 'left stopped at the source'
        self.wrong('the guest is lost')
        return 'lost'

    def judge_doubled(self):
        """Possible without -S, as with a plain relay that is cut then, or plain QEMU that is cancelled then. But neither end
        of Wherry may claim to know where the guest is."""
        if not self.case.runs or not self.may_be_unknown():
            self.wrong('the guest runs twice')
        for name, code in self.codes.items():
            stays = code in (1, 130) and self.dst.dead  # the destination was killed since
            # Without a return path, a cancelled source looks like one that has completed.
            moved = code == 0 and not self.case.return_path
            if name not in self.done.killed and code != 3 and not stays and not moved:
                self.wrong(f'the guest runs twice, and the {name} ends with {code}')
        return 'doubled as by a relay'

    def check_arrived(self):
        src, dst = self.pair.src, self.pair.dst
        if not self.src.dead and self.src.status != 'postmigrate':
            self.wrong(f'the guest has arrived, and the source is {self.src}')
        if not self.case.runs:
            if self.dst.ran:
                self.wrong('the destination has resumed the guest in spite of -S')
            if self.src.status == 'postmigrate' and (pages := compare_ram(src, dst)):
                self.wrong(f'{len(pages)} pages differ: {pages[:5]}')
            dst.cont()
        self.check_runs(dst, passed_ticks=0)
        self.check_good(src)
        if not self.src.dead and self.src.look().runs:
            self.wrong('the guest runs at the source as well')

    # What the ends of Wherry say

    def check_accounts(self):
        for name, code in self.codes.items():
            if name in self.done.killed:
                continue
            if self.check_status(f'the {name}', code, getattr(self.pair, name), self.done.cancelled):
                self.check_code(name, code)

    def check_code(self, name, code):
        killed, interrupted = self.done.killed, self.done.interrupted
        unseen = not self.case.return_path and self.done.cancelled
        if code == 0 and not (self.completed or unseen or (self.src.dead and (self.arrived or self.dst.dead))):
            self.wrong(f"the {name} says completed, and the source's QEMU {self.src}")
        if code == 0 and not self.arrived and 'destination' not in killed:
            self.wrong(f"the {name} says completed, and the destination's QEMU {self.dst}")
        if code in (1, 130):
            if self.completed and self.case.return_path:
                self.wrong(f"the {name} says failed, and the source's QEMU has completed")
            if (self.src.dead or not self.case.return_path) and self.arrived and not self.src.runs:
                self.wrong(f"the {name} says failed, and the guest is at the destination")
        if code == 130 and not interrupted[name]:
            self.wrong(f'the {name} says interrupted, and was not')
        # Later, it can have been about to end already.
        if code == 1 and interrupted[name] and self.case.acts[0].what == f'interrupt {name}':
            self.wrong(f'the {name} was interrupted, and ends with 1')
        # Under TLS only a monitor tells, and only that of a live QEMU whose connections Wherry did not close.
        tells = self.case.sender_qmp and not self.lost_connections() or self.case.receiver_qmp and not self.dst.dead
        silent = not self.case.return_path or (self.case.tls and not tells)
        if code == 3 and not self.may_be_unknown() and not silent:
            # A receiver that knows that the guest stays at the source does not wait for a sender with reset connections.
            if name == 'sender' and self.codes['receiver'] in (1, 130):
                self.verdict.outcome += ', sender asks in vain'
            # A destination that loads for ever gives no answer (multifd, without Wherry as well).
            elif self.dst.migration in (*ENDED, 'dead'):
                self.wrong(f'the {name} says unknown without a reason')

    def lost_connections(self):
        return any(act.what.startswith(('reset', 'cut')) for act in self.case.acts)

    def may_be_unknown(self):
        """Whether an act can have kept the destination's SHUT from the source's QEMU."""
        done = self.done
        # A QEMU whose stream was cut within the device description reports an error, and yet has loaded the guest.
        cut = self.lost_connections() and 'Sibling indicated error' in self.pair.src.stderr()
        return bool(cut or done.killed or done.cut_off or done.cancelled or max(done.interrupted.values()) > 1)

    def check_times(self):
        last = max([self.done.began, *(when for _, when in self.done.at)])
        if self.completed:
            last = max(last, self.src.said('MIGRATION', status='completed') or 0)
        elif not self.done.at:
            last += 10  # until the migration is refused
        for name, when in self.done.ended.items():
            if name not in self.done.killed and not self.done.nudged and when > last + 2 * self.case.resume + 15:
                self.wrong(f'the {name} took {when - last:.1f} s to end')

    def note(self):
        times = [(when, what) for what, when in self.done.at]
        times += [(when, f'{name} ended') for name, when in self.done.ended.items()]
        self.add_evidence(times, {name: getattr(self.pair, name) for name in self.codes}, self.done.began)


def judge(case, pair, done):
    return _Judge(case, pair, done).judge()
