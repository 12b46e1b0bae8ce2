"""Qmp: a QEMU monitor connection. Blocking, for one thread.

`events` has QEMU's events in order, each with `time`: QEMU's timestamp in seconds (wall clock, so comparable between QEMUs
of one host). With `oob`, events and execute_oob() also work while QEMU's main loop is stuck.
"""
import json
import socket
import time

from .process import wait_until


class QmpError(Exception):
    pass


class Qmp:
    def __init__(self, path, timeout=10, alive=lambda: True, oob=False):
        self.events = []
        self._buffer = b''
        self._socket = socket.socket(socket.AF_UNIX)

        def connect():
            if not alive():
                raise QmpError(f'{path}: QEMU has ended')
            return self._socket.connect_ex(str(path)) == 0

        try:
            wait_until(connect, timeout, f'QMP at {path}')
            self._read(time.monotonic() + timeout)  # the greeting
            self.execute('qmp_capabilities', **({'enable': ['oob']} if oob else {}))
        except BaseException:
            self.close()
            raise

    def close(self):
        self._socket.close()

    def execute(self, command, timeout=60, /, **arguments):
        """The command's result. Argument names are written with _ for -: execute('migrate-incoming', uri=…)."""
        return self._execute('execute', command, timeout, arguments)

    def execute_oob(self, command, timeout=60, /, **arguments):
        return self._execute('exec-oob', command, timeout, arguments)

    def _execute(self, how, command, timeout, arguments):
        arguments = {name.replace('_', '-'): value for name, value in arguments.items()}
        self._socket.settimeout(timeout)
        self._socket.sendall(json.dumps({how: command, 'arguments': arguments}).encode())
        deadline = time.monotonic() + timeout
        while True:
            message = self._read(deadline)
            if 'return' in message:
                return message['return']
            if 'error' in message:
                raise QmpError(f"{command}: {message['error']['desc']}")

    def find_event(self, name, **data):
        """The first event of that name whose data has these values, or None."""
        return next((e for e in self.events if e['event'] == name and data.items() <= e.get('data', {}).items()), None)

    def wait_event(self, name, timeout=60, **data):
        """Like find_event, and waits for it. Events that came before count."""
        deadline = time.monotonic() + timeout
        while not (event := self.find_event(name, **data)):
            self._read(deadline)
        return event

    def take_in(self):
        """Receives what QEMU has sent so far, without asking it; works also if QEMU has ended or no longer answers."""
        try:
            while True:
                self._read(time.monotonic())
        except (OSError, QmpError):
            pass

    def _read(self, deadline):
        while b'\n' not in self._buffer:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            data = self._socket.recv(65536)
            if not data:
                raise QmpError('QEMU closed its monitor')
            self._buffer += data
        line, self._buffer = self._buffer.split(b'\n', 1)
        message = json.loads(line)
        if 'event' in message:
            stamp = message['timestamp']
            message['time'] = stamp['seconds'] + stamp['microseconds'] / 1e6
            self.events.append(message)
        return message
