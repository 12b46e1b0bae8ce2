"""Who has the guest after a cut, a kill or Ctrl-C while the destination's QEMU may have it and has not said so yet.

Sockets of this test act as the QEMUs, with a stream that is opaque from its first byte, so that the destination may be
complete at any time. tests/qemu-glue/ownership_test.cc covers parsed streams and orders of closing.
"""
import contextlib
import os
import select
import signal
import socket
import struct
import unittest

from lab import Link, Wherry, scratch, wait_until

ASKS_FOR_PAGES = struct.pack('>HHQI', 4, 12, 0, 4096)  # MIG_RP_MSG_REQ_PAGES, as in postcopy
SHUT = {0: struct.pack('>HHI', 1, 4, 0), 1: struct.pack('>HHI', 1, 4, 1)}


class Window:
    """A migration whose destination has all bytes. `source` and `destination` are the QEMUs' sockets."""
    def __init__(self, resume='30s'):
        self._stack = contextlib.ExitStack()
        try:
            self._set_up(resume)
        except BaseException:
            self._stack.close()
            raise

    def _set_up(self, resume):
        enter = self._stack.enter_context
        inside, outside = (os.path.join(scratch(), name) for name in ('in', 'out'))
        self.link = enter(Link())
        listener = enter(socket.socket(socket.AF_UNIX))
        listener.bind(inside)
        listener.listen()
        self.source = enter(socket.socket(socket.AF_UNIX))
        self.receiver = enter(Wherry.receive(f"wherry://{self.link.address('b')}", inside, netns=self.link.netns('b')))
        self.receiver.wait_listening()
        self.sender = enter(Wherry.send(outside, f"wherry://{self.link.address('b')}?resume={resume}",
                                        netns=self.link.netns('a')))
        self.sender.wait_for_socket()
        self.source.connect(outside)
        self.source.sendall(b'all of a guest')
        self.destination = enter(listener.accept()[0])
        for end in (self.source, self.destination):
            end.settimeout(20)
        assert self.destination.recv(14, socket.MSG_WAITALL) == b'all of a guest'

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()

    def share(self):
        """As in postcopy, the destination runs the guest and asks for missing pages."""
        self.destination.sendall(ASKS_FOR_PAGES)
        assert self.source.recv(len(ASKS_FOR_PAGES), socket.MSG_WAITALL) == ASKS_FOR_PAGES

    def say(self, word):
        """The destination sends SHUT with this value, or with None closes without SHUT."""
        if word is not None:
            self.destination.sendall(SHUT[word])
        self.destination.close()

    def heard(self):
        """What the source receives until the end of its return path."""
        return b''.join(iter(lambda: self.source.recv(4096), b''))

    def quiet(self, seconds=0.5):
        """Whether the source's QEMU receives neither bytes nor an end for that long."""
        return select.select([self.source], [], [], seconds)[0] == [] and self.source.send(b'.') == 1

    def wait_said(self, wherry, text):
        wait_until(lambda: text in wherry.stderr, 20, f'"{text}"')


class Ownership(unittest.TestCase):
    def check_ended(self, wherry, code, status, says):
        self.assertEqual(wherry.wait(40), code, wherry.stderr)
        self.assertEqual(wherry.report['status'], status)
        self.assertRegex(wherry.report['error'], says)

    def check_word_arrives(self, window, word):
        # A QEMU whose stream has ended can report an error about bytes that it does not need.
        code, status, says = (0, 'completed', '^$') if word == 0 else (3, 'unknown', 'query-migrate')
        self.assertEqual(window.heard(), SHUT[word])
        self.check_ended(window.sender, code, status, says)
        self.check_ended(window.receiver, code, status, says)

    def test_the_word_outlives_all_connections(self):
        for word in SHUT:
            with self.subTest(word=word), Window() as window:
                window.link.reset_all()
                window.wait_said(window.sender, 'asking the destination')
                self.assertTrue(window.quiet())
                window.say(word)
                self.check_word_arrives(window, word)

    def test_the_word_outlives_a_cut(self):
        with Window(resume='4s') as window:
            window.link.cut()
            window.say(0)
            window.wait_said(window.sender, 'asking the destination')
            self.assertTrue(window.quiet(0.1))
            window.link.mend()
            self.check_word_arrives(window, 0)

    def test_no_word(self):
        with Window() as window:
            window.link.reset_all()
            window.wait_said(window.sender, 'asking the destination')
            window.say(None)
            self.assertEqual(window.heard(), b'')
            self.check_ended(window.sender, 3, 'unknown', 'query-migrate')
            self.check_ended(window.receiver, 3, 'unknown', 'query-migrate')

    def test_the_word_of_postcopy(self):
        """A source that has sent all pages and is not told that they have arrived would run the guest as well."""
        with Window() as window:
            window.share()
            window.link.reset_all()
            window.wait_said(window.sender, 'asking the destination')
            self.assertTrue(window.quiet())
            self.assertEqual(window.destination.recv(1), b'', 'no more pages come')
            window.say(0)
            self.check_word_arrives(window, 0)

    def test_postcopy_that_lacks_pages_pauses_at_both_hosts(self):
        with Window() as window:
            window.share()
            window.link.reset_all()
            window.wait_said(window.sender, 'asking the destination')
            window.say(None)
            self.assertEqual(window.heard(), b'')
            for wherry in window.sender, window.receiver:
                self.check_ended(wherry, 3, 'unknown', 'migrate-recover')

    def test_postcopy_interrupted(self):
        for name in ('sender', 'receiver'):
            with self.subTest(name), Window() as window:
                window.share()
                getattr(window, name).process.send_signal(signal.SIGINT)
                window.wait_said(getattr(window, name), 'may be there already')
                self.assertTrue(window.quiet())
                window.say(0)
                self.check_word_arrives(window, 0)

    def test_receiver_killed(self):
        with Window(resume='2s') as window:
            window.receiver.kill()
            self.assertTrue(window.quiet(1))
            self.assertEqual(window.heard(), b'')
            self.check_ended(window.sender, 3, 'unknown', '(went away|reset).*query-migrate')

    def test_sender_killed(self):
        for word in (0, 1, None):
            with self.subTest(word=word), Window(resume='2s') as window:
                window.sender.kill()
                self.assertEqual(window.destination.recv(1), b'', 'QEMU may read no more,')
                window.say(word)  # its answer still arrives
                says = 'may not have been told' if word == 0 else 'query-migrate'
                self.check_ended(window.receiver, 3, 'unknown', says)

    def test_interrupted_once(self):
        for name in ('sender', 'receiver'):
            with self.subTest(name), Window() as window:
                getattr(window, name).process.send_signal(signal.SIGINT)
                window.wait_said(getattr(window, name), 'may be there already')
                self.assertTrue(window.quiet())
                window.say(0)
                self.check_word_arrives(window, 0)

    def test_interrupted_twice(self):
        for name, other in (('sender', 'receiver'), ('receiver', 'sender')):
            with self.subTest(name), Window(resume='2s') as window:
                interrupted = getattr(window, name)
                for says in ('may be there already', "Ask the destination's QEMU first"):
                    interrupted.process.send_signal(signal.SIGINT)
                    window.wait_said(interrupted, says)
                self.assertEqual(interrupted.wait(3), 3)
                self.assertEqual(interrupted.report['status'], 'unknown')
                self.check_ended(getattr(window, other), 3, 'unknown', 'query-migrate')

    def test_interrupted_while_it_asks(self):
        with Window() as window:
            window.link.reset_all()
            window.wait_said(window.sender, 'asking the destination')
            for says in ('may be there already', "Ask the destination's QEMU first"):
                window.sender.process.send_signal(signal.SIGTERM)
                window.wait_said(window.sender, says)
            self.assertEqual(window.sender.wait(3), 3)

    def test_interrupted_while_connecting(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number.name), Link() as link:
                link.cut('b')
                with Wherry.send(os.path.join(scratch(), 'out'), f"wherry://{link.address('b')}",
                                 netns=link.netns('a')) as sender:
                    wait_until(lambda: 'SYN-SENT' in link.connections('a'), 10, 'attempt to connect')
                    sender.process.send_signal(number)
                    self.assertEqual(sender.wait(3), 128 + number)
                    self.assertIn('the guest stays at the source', sender.stderr)
                    self.assertEqual(sender.report['status'], 'cancelled')


if __name__ == '__main__':
    unittest.main()
