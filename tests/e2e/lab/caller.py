"""Callers at a Wherry's port that are no Wherry: frames made by hand, from any address and port of this machine.

    said = ask(port, hello('hostb/1'), source='127.0.0.2', root=True)     # the answer, as text
    with call(port, source='127.0.0.2') as caller: …                      # a connection that says nothing yet

docs/wire-format.md has the frames. Checksums are those of libxxhash, which every Debian has, because apt uses it.
"""
import contextlib
import ctypes
import random
import socket
import struct

_HELLO, _LANE_HELLO, _SERVICE = 16, 19, 20
_VERSION = 2


def _sum(data):
    function = ctypes.CDLL('libxxhash.so.0').XXH3_64bits
    function.restype, function.argtypes = ctypes.c_uint64, (ctypes.c_char_p, ctypes.c_size_t)
    return function(data, len(data))


def _cbor(value):
    def head(major, number):
        for short, code in ((24, ''), (1 << 8, 'B'), (1 << 16, 'H'), (1 << 32, 'I')):
            if number < short:
                extra = 'BHI'.find(code) + 24 if code else number
                return bytes([major << 5 | extra]) + (struct.pack('>' + code, number) if code else b'')
        raise ValueError(number)
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, (list, tuple)):
        return head(4, len(value)) + b''.join(map(_cbor, value))
    return head(5, len(value)) + b''.join(_cbor(key) + _cbor(each) for key, each in value.items())


def frame(kind, **body):
    body = _cbor(body)
    begin = struct.pack('<IBBHHHIQIIIIII', 0x59524857, _VERSION, kind, 0, 0, 0, 0, 0, 0, 0, len(body), 0, 0, 0)
    body_sum = struct.pack('<Q', _sum(body))
    return begin + struct.pack('<Q', _sum(begin + body_sum)) + body_sum + body


def hello(route):
    return frame(_HELLO, route=route, lanes=1, silence_s=30, secret=[7] * 384, most_in_flight=1 << 20, wishes={}, requires=[])


def lane_hello(route, token='0' * 32):
    return frame(_LANE_HELLO, route=route, token=token, lane=0)


def service(name, **more):
    return frame(_SERVICE, service=name, **more)


def announcement(route):
    return service('route', route=route)


@contextlib.contextmanager
def call(port, source='127.0.0.1', root=False, to='127.0.0.1'):
    """A connection from that address, and from a port that only root can take."""
    for _ in range(1000):
        caller = socket.socket()
        caller.settimeout(20)
        try:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            caller.bind((source, random.randrange(512, 1024) if root else 0))
            caller.connect((to, port))
            break
        except OSError:
            caller.close()
            if not root:
                raise
    with caller:
        yield caller


def heard(caller):
    """All that it is told until the connection ends, as text."""
    said = b''
    with contextlib.suppress(ConnectionError):
        while more := caller.recv(65536):
            said += more
    return said.decode(errors='replace')


def ask(port, said, **how):
    """What is answered to a frame until the connection ends."""
    with call(port, **how) as caller:
        caller.sendall(said)
        return heard(caller)
