"""Wherry runs as root, the QEMUs as other users (-runas). Each QEMU can reach what is made for it, and nobody else can."""
import glob
import os
import pwd
import stat
import subprocess
import unittest

from lab import PAGES, Guest, Wherry, scratch, spawn, wait_until, wherry_binary
from lab.process import end

# Users of the source's QEMU and of the destination's.
HERE, THERE = 'nobody', 'daemon'
GUEST = {'ram_kib': 49160, 'append': f'pages={PAGES} rate=100 verify=20000'}


def guest(version, user, **options):
    runs_as = ['-runas', user] if version == '7.2' else ['-run-with', f'user={user}']
    made = Guest(version, **GUEST, extra=runs_as, **options)
    os.chmod(made.path(''), 0o755)  # the lab makes it for root only
    return made


class TwoUsers(unittest.TestCase):
    def check_made_for(self, path, user, mode):
        found = os.lstat(path)
        self.assertEqual((pwd.getpwuid(found.st_uid).pw_name, stat.S_IMODE(found.st_mode)), (user, mode), path)

    def check_arrived(self, src, dst):
        dst.wait_verified(PAGES)
        self.assertEqual((src.status(), src.bad() + dst.bad()), ('postmigrate', []))

    def test_migrate(self):
        for version in ('7.2', '10.0'):
            with self.subTest(version), guest(version, HERE) as src, guest(version, THERE, incoming=True) as dst:
                src.wait_ready()
                before = set(glob.glob('/run/wherry-??????'))
                command = [wherry_binary(), 'migrate', '--from', f'qmp:{src.qmp_path}', '--to', f'qmp:{dst.qmp_path}',
                           '--via', 'wherry://127.0.0.1:0?bandwidth=40Mbps&compress=off']
                environment = {**os.environ, 'TMPDIR': scratch()}  # for root only
                process = spawn(command, env=environment, stderr=subprocess.PIPE, text=True)
                self.addCleanup(end, process)

                def made():
                    self.assertIsNone(process.poll(), 'wherry has ended')
                    return [path for path in glob.glob('/run/wherry-??????/outgoing')
                            if os.path.dirname(path) not in before and os.lstat(path).st_uid != 0]
                [outgoing] = wait_until(made, 20, 'socket for QEMU')
                directory = os.path.dirname(outgoing)
                self.check_made_for(directory, 'root', 0o711)
                self.check_made_for(outgoing, HERE, 0o600)
                self.check_made_for(f'{directory}/incoming', THERE, 0o700)
                _, said = process.communicate(timeout=60)
                self.assertEqual(process.returncode, 0, said)
                self.check_arrived(src, dst)
                self.assertFalse(os.path.exists(directory))

    def send_and_receive(self, version, monitor, directory_of):
        with guest(version, HERE) as src, guest(version, THERE, incoming=True) as dst:
            directory = scratch()
            os.chmod(directory, 0o755)
            os.chown(directory, pwd.getpwnam(directory_of).pw_uid, -1)
            outgoing, disks, incoming = (os.path.join(directory, name) for name in ('out', 'disks', 'in'))
            os.mkdir(incoming)
            os.chown(incoming, pwd.getpwnam(THERE).pw_uid, -1)
            for each in (src, dst):
                each.configure_migration()
            dst.execute('migrate-incoming', uri=f'unix:{incoming}/qemu')
            src.wait_ready()
            with Wherry.receive('wherry://127.0.0.1:17765', f'{incoming}/qemu', qmp=dst.qmp_path) as receiver:
                receiver.wait_listening(17765)
                with Wherry.send(outgoing, 'wherry://127.0.0.1:17765', qmp=src.qmp_path if monitor else None,
                                 extra=['--disks', f'unix:{disks}']) as sender:
                    sender.wait_for_socket()
                    self.check_made_for(outgoing, HERE, 0o600)
                    wait_until(lambda: os.path.exists(disks), 10, 'socket for disks')
                    wait_until(lambda: os.lstat(disks).st_uid != 0, 10, 'socket for disks that is QEMU\'s')
                    self.check_made_for(disks, HERE, 0o600)
                    src.execute('migrate', uri=f'unix:{outgoing}')
                    src.wait_migrated()
                    self.assertEqual((sender.wait(10), receiver.wait(10)), (0, 0), sender.stderr + receiver.stderr)
            dst.cont()
            self.check_arrived(src, dst)
            self.assertFalse(os.path.exists(outgoing) or os.path.exists(disks))

    def test_send_to_a_qemu_whose_monitor_it_has(self):
        self.send_and_receive('7.2', monitor=True, directory_of='root')

    def test_send_in_a_directory_of_qemus_user(self):
        self.send_and_receive('10.0', monitor=False, directory_of=HERE)


if __name__ == '__main__':
    unittest.main()
