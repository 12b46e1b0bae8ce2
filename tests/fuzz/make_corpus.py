#!/usr/bin/env python3
"""Writes the hand-made seeds of tests/fuzz/corpus. Run it again after a change of a format.

Real captures lie beside them under other names and are left alone.
"""
import hashlib
import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus"


def write(folder, name, data):
    path = CORPUS / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


# ---- main channel: one byte for the cut, then the stream

def counted(text):
    return bytes([len(text)]) + text


def header(*subsections):
    return struct.pack(">II", 0x5145564D, 3) + b"\x07" + struct.pack(">I", 13) + b"pc-i440fx-7.2" + b"".join(subsections)


def subsection(name, body):
    return b"\x05" + counted(name) + struct.pack(">I", 1) + body


def command(number, body=b""):
    return b"\x08" + struct.pack(">HH", number, len(body)) + body


def footer(section):
    return b"\x7e" + struct.pack(">I", section)


EOS = struct.pack(">Q", 0x10)
FLUSH = struct.pack(">Q", 0x200)


def start(section, blocks, extra=lambda size: b"", end=EOS):
    total = sum(size for _, size in blocks)
    data = b"\x01" + struct.pack(">I", section) + counted(b"ram") + struct.pack(">II", 0, 4)
    data += struct.pack(">Q", total | 4)
    for name, size in blocks:
        data += counted(name) + struct.pack(">Q", size) + extra(size)
    return data + end + footer(section)


def page(offset, block=None, fill=0x41, size=4096):
    if block is None:
        return struct.pack(">Q", offset | 0x28) + bytes([fill]) * size
    return struct.pack(">Q", offset | 0x08) + counted(block) + bytes([fill]) * size


def zero(offset, block=None):
    if block is None:
        return struct.pack(">Q", offset | 0x22) + b"\0"
    return struct.pack(">Q", offset | 0x02) + counted(block) + b"\0"


def section(kind, number, *records):
    return bytes([kind]) + struct.pack(">I", number) + b"".join(records) + EOS + footer(number)


BLOCKS = [(b"pc.ram", 1 << 20), (b"vga.vram", 8192)]
DEVICE = b"\x04" + struct.pack(">I", 9) + counted(b"timer") + struct.pack(">II", 0, 2) + b"state" * 9 + footer(9)

plain = (header() + command(1) + command(2, struct.pack(">I", 1)) + start(2, BLOCKS)
         + section(2, 2, page(0, b"pc.ram"), zero(4096), zero(0, b"vga.vram"), page(8192, b"pc.ram", 0x42))
         + section(3, 2, page(12288)) + DEVICE + b"\0" + b"\x06" + struct.pack(">I", 2) + b"{}")
write("main_reader", "plain", b"\x07" + plain)
write("main_reader", "bytewise", b"\x00" + plain[:400])
write("main_reader", "multifd", b"\x05" + header() + command(1) + start(1, BLOCKS, end=FLUSH + EOS)
      + section(2, 1, FLUSH) + section(3, 1, FLUSH, FLUSH) + command(11) + DEVICE)
write("main_reader", "postcopy", b"\x09" + header() + command(1) + command(3, struct.pack(">QQ", 0x201000, 4096))
      + start(2, BLOCKS, lambda size: struct.pack(">Q", 2 << 20) if size > 8192 else b"")
      + section(2, 2, zero(0, b"pc.ram")) + command(6, b"\0" + counted(b"pc.ram") + b"\0" * 17) + command(7, struct.pack(">I", 4)) + b"abcd")
write("main_reader", "subsections", b"\x03"
      + header(subsection(b"configuration/target-page-bits", struct.pack(">I", 12)),
               subsection(b"configuration/capabilities", struct.pack(">I", 1) + counted(b"x-ignore-shared")),
               subsection(b"configuration/uuid", bytes(16)))
      + start(2, BLOCKS, lambda size: struct.pack(">Q", 0xC0000)) + section(3, 2, zero(0, b"pc.ram")))
early = (b"\x04" + struct.pack(">I", 5) + counted(b"0000:00:04.0/virtio-mem-device-early") + struct.pack(">II", 0, 1)
         + struct.pack(">QQQIQ", 1 << 32, 1 << 28, 1 << 21, 0, 0) + bytes(16) + footer(5))
write("main_reader", "virtio_mem", b"\x04" + header() + early + start(2, BLOCKS) + section(3, 2, zero(0, b"pc.ram")))
write("main_reader", "xbzrle", b"\x02" + header() + start(2, BLOCKS)
      + section(2, 2, page(0, b"pc.ram"), struct.pack(">Q", 4096 | 0x60) + b"\x01\0\x04abcd"))
write("main_reader", "tls", b"\x11\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")


# ---- multifd: one byte for the cut, one for the page size, then the stream

def packet(flags, normal, zeros, block=b"pc.ram", size=4096, fill=0x61, stale=0):
    slots = 524288 // size
    offsets = normal + zeros
    head = struct.pack(">IIIIIIQI", 0x11223344, 1, flags, slots, len(normal), stale or len(normal) * size, 3, len(zeros))
    head += bytes(64 - len(head)) + block.ljust(256, b"\0")
    head += b"".join(struct.pack(">Q", offset) for offset in offsets).ljust(8 * slots, b"\0")
    return head + bytes([fill]) * (size * len(normal))


GREETING = struct.pack(">II", 0x11223344, 1) + bytes(16) + b"\x01" + bytes(39)
write("multifd_reader", "plain", b"\x07\x00" + GREETING + packet(1, [], []) + packet(0, [0, 8192], [4096])
      + packet(0, [], [12288, 16384]) + packet(1, [], [], stale=7))
write("multifd_reader", "sync_with_pages", b"\x21\x00" + GREETING + packet(1, [4096], []) + packet(0, [], []))
write("multifd_reader", "large_pages", b"\x05\x02" + GREETING + packet(0, [65536], [0], b"a", 65536) + packet(1, [], [], size=65536))
write("multifd_reader", "odd_block", b"\x05\x00" + GREETING + packet(0, [], [98304], b"odd"))
device = struct.pack(">III", 0x11223344, 1, 0x40) + b"vfio".ljust(256, b"\0") + struct.pack(">II", 0, 100) + bytes(100)
write("multifd_reader", "device_state", b"\x05\x00" + GREETING + packet(1, [], []) + device + device)
write("multifd_reader", "zlib", b"\x05\x00" + GREETING + packet(2, [0], []))
write("multifd_reader", "bytewise", b"\x00\x00" + GREETING + packet(0, [], [0]))
write("multifd_reader", "no_blocks", b"\x03\xff" + GREETING + packet(0, [], [0]))


# ---- frames: one byte that chooses what, then its bytes

def frame(kind, channel=0, sequence=0, flags=0, epoch=0, pages=0, table=b"", body=b"", aux=0, pack=0, plain=0):
    return struct.pack("<IBBHHHIQIIIIIIQQ", 0x59524857, 2, kind, flags, channel, 0, epoch, sequence, pages, len(table),
                       len(body), aux, pack, plain, 0, 0) + table + body


def entry(block, kind, count, first):
    return struct.pack("<HBBIQ", block, kind, 0, count, first)


def cbor(value):
    def head(major, number):
        if number < 24:
            return bytes([major << 5 | number])
        for info, code in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q")):
            if number < 1 << 8 * struct.calcsize(code):
                return bytes([major << 5 | info]) + struct.pack(code, number)
        raise ValueError(number)
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, str):
        return head(3, len(value)) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    return head(5, len(value)) + b"".join(cbor(key) + cbor(item) for key, item in value.items())


write("frames", "header", b"\x00" + frame(3, 1, 7, 0, 2, 3, entry(0, 0, 3, 256)))


def batch(entries, pack=b"", raw=b"", size=0, flags=0, plain=0):
    head = struct.pack("<BBBBHI", 1, len(entries), size, flags, len(pack), plain)
    return head + b"".join(entries) + pack + raw


def zstd(data):
    """A zstd frame of one raw block, which any zstd unpacks: no compressor is needed here."""
    return (struct.pack("<IBI", 0xFD2FB528, 0xA0, len(data)) + struct.pack("<I", len(data) << 3 | 1)[:3] + data)


def patch(*changes):
    data = b"".join(struct.pack("<HB", skip, len(text) - 1) + text for skip, text in changes)
    return struct.pack("<H", len(data)) + data


# XXH3-64 of 1024 bytes 0xee, line 2 of 16 bytes replaced by "the wherry sails", under a secret of the bytes 0 to 191.
SUM_OF_LINES = bytes.fromhex("e40014aaf66c5b2c")
LINES = struct.pack("<Q", 1 << 2) + SUM_OF_LINES + b"the wherry sails"
# XXH3-64 of 1024 bytes 0xee, under that secret, and under one of the bytes 192 to 255 and 0 to 127.
SUMS_OF_BASE = bytes.fromhex("c6eef2eee44264d799a7cd5441d23c61")
DIGEST_OF_P = hashlib.sha256(b"p" * 1024).digest()
PATCH = patch((5, b"oar"), (700, b"keel" * 64))
write("frames", "batch_raw", batch([entry(0, 1, 2, 7), entry(3, 0, 5, 0)], raw=b"p" * 2048))
write("frames", "batch_zero", batch([entry(2, 0, 65536, 1 << 39)], size=2))
write("frames", "batch_packed", batch([entry(0, 2, 2, 7), entry(3, 0, 5, 0)], zstd(b"p" * 2048), flags=2, plain=2048))
write("frames", "batch_lines", batch([entry(0, 3, 1, 7)], LINES))
write("frames", "batch_lines_mapped", batch([entry(0, 3, 2, 7)], LINES * 2, flags=4))
write("frames", "batch_lines_wrong_base", batch([entry(0, 3, 1, 7)], LINES.replace(b"sails", b"sinks")))
write("frames", "batch_lines_no_base", batch([entry(3, 3, 1, 4)], LINES))
write("frames", "batch_lines_cut", batch([entry(0, 3, 1, 7)], LINES[:-1]))
write("frames", "batch_patch", batch([entry(2, 4, 1, 7)], PATCH))
write("frames", "batch_patch_beyond", batch([entry(2, 4, 1, 7)], patch((1020, b"mast!"))))
same = [struct.pack("<HIH", block, page, 0) + SUMS_OF_BASE
        for block, page in ((0, 999), (2, 0), (0, 1000), (3, 1))]
write("frames", "batch_same", batch([entry(0, 5, 1, 5), entry(2, 5, 1, 7)], same[0] + same[1]))
write("frames", "batch_same_outside", batch([entry(0, 5, 1, 5)], same[2]))
write("frames", "batch_same_no_base", batch([entry(0, 5, 1, 5)], same[3]))
write("frames", "batch_same_wrong", batch([entry(0, 5, 1, 5)], same[0][:-1] + b"?"))
mixed = [entry(0, 1, 1, 3), entry(0, 3, 1, 4), entry(0, 0, 9, 5), entry(2, 4, 1, 1), entry(2, 2, 1, 2)]
plain = LINES + PATCH + b"q" * 1024
write("frames", "batch_mixed", batch(mixed, plain, b"p" * 1024))
write("frames", "batch_mixed_zstd", batch(mixed, zstd(plain), b"p" * 1024, flags=6, plain=len(plain)))
write("frames", "batch_sums", batch([entry(0, 1, 1, 3), entry(0, 2, 1, 4)], b"p" * 1024 + DIGEST_OF_P * 2, b"p" * 1024, flags=1))
write("frames", "batch_wrong_sum", batch([entry(0, 1, 1, 3)], b"sum_sum_" * 4, b"p" * 1024, flags=1))
write("frames", "batch_wrong_plain", batch([entry(0, 2, 1, 3)], zstd(b"p" * 1024), flags=2, plain=1025))
write("frames", "batch_bad_zstd", batch([entry(0, 2, 1, 3)], zstd(b"p" * 1024)[:-9], flags=2, plain=1024))
write("frames", "bases", b"\x02" + cbor({"blocks": [0, 2, 65535]}))
blocks = {"page_size": 4096, "blocks": [{"name": "pc.ram", "length": 1 << 30}, {"name": "rom", "length": 5000}],
          "relay_because": "", "confirmed": True}
write("frames", "blocks", b"\x02" + cbor(blocks))
write("frames", "hello", b"\x02" + cbor({"lanes": 4, "most_in_flight": 1 << 27, "wishes": {}, "silence_s": 30,
                                        "secret": list(range(192)) * 2, "requires": ["x"]}))
write("frames", "text_in_pieces", b"\x02\xa1\x61x" + b"\x7f" * 40)
write("frames", "stream", b"\x03" + frame(1) + frame(5, 0, 1, body=cbor(blocks)) + frame(2, 0, 2, 1, body=b"record", aux=3)
      + frame(3, 0, 3, 0, 1, 2, entry(0, 1, 2, 0), b"p" * 2048) + frame(4, 0, 4, 0, 1))
write("frames", "stream_packs", b"\x03" + frame(2, 0, 2, body=zstd(b"record"), pack=len(zstd(b"record")), plain=6)
      + frame(3, 0, 3, 32, 1, 1, entry(0, 3, 1, 7), LINES + DIGEST_OF_P, pack=64, plain=64) + frame(30, 0, 3))
write("frames", "stream_cut", b"\x03" + frame(2, body=b"x" * 50)[:-7])
write("frames", "change_patch", b"\x04\x00" + PATCH)
write("frames", "change_patch_beyond", b"\x04\x00" + patch((1020, b"mast!")))
write("frames", "change_lines", b"\x04\x00" + LINES)
write("frames", "blocks_beyond", b"\x02" + cbor({**blocks, "blocks": [{"name": name, "length": 1 << 63} for name in ("a", "b")]}))


# ---- libvirt's RPC: one byte for the cut, u16 length of the client's bytes, those, the server's bytes

def xdr(*values):
    """Numbers are u32; strings have length and padding; bytes are XDR already."""
    data = b""
    for value in values:
        if isinstance(value, bytes):
            data += value
        elif isinstance(value, str):
            data += struct.pack(">I", len(value)) + value.encode() + bytes(-len(value) % 4)
        else:
            data += struct.pack(">I", value)
    return data


def rpc(kind, procedure, *payload, serial=7, status=0, program=0x20008086):
    data = struct.pack(">6I", program, 1, procedure, kind, serial, status) + xdr(*payload)
    return struct.pack(">I", 4 + len(data)) + data


def talk(name, client, server=b"", cut=5):
    write("libvirt_rpc", name, struct.pack("<BH", cut, len(client)) + client + server)


URI = xdr("migrate_uri", 7, "wherry://D?streams=4")
DOMAIN = "<domain type='kvm'><name>web&amp;1</name></domain>"
READY = rpc(1, 303, "cookie", 0)
EVENT = rpc(2, 107, bytes(24), serial=0)
with_uri = rpc(0, 303, 2, URI, "destination_xml", 7, DOMAIN, "cookie", 1)
talk("params", rpc(0, 1) + with_uri + rpc(0, 5, serial=8), rpc(1, 1) + EVENT + READY + EVENT)
talk("params_bytewise", with_uri, READY, cut=0)
talk("params_types", rpc(0, 303, 6, "i", 1, 1, "u", 2, 1, "l", 3, bytes(8), "d", 5, bytes(8), "b", 6, 1, URI, "", 1), READY)
talk("params_no_uri", rpc(0, 303, 1, "destination_name", 7, "web2", "cookie", 1), rpc(1, 303, "cookie", 1, "tcp://D:49152"))
talk("params_two_uris", rpc(0, 303, 2, URI, URI, "", 0), READY)
talk("params_uri_no_string", rpc(0, 303, 1, "migrate_uri", 1, 5, "", 0))
talk("params_many", rpc(0, 303, 65) + rpc(0, 303, 0xffffffff, URI))
talk("params_bad_padding", rpc(0, 303, 1, "migrate_uri", 7, 5, b"tcp:?", b"\1\1\1", "", 0))
talk("prepare", rpc(0, 61, 1, "wherry://D", 0, 1, 1, "web2", 0, 0), rpc(1, 61, "", 0))
talk("prepare2", rpc(0, 108, 0, 0, 1, 0, 0, 0, DOMAIN), rpc(1, 108, "", 0))
talk("prepare3", rpc(0, 214, "cookie", 1, "wherry://D", 0, 1, 0, 0, 0, DOMAIN), rpc(1, 214, "", 0))
talk("error", with_uri, rpc(1, 303, 9, 10, 1, "no memory", 2, 0, 0, 0, 0, 0, 0, 0, status=1) + READY)
talk("stream", rpc(3, 215, bytes(500), status=2) + with_uri, rpc(3, 209, bytes(500), status=2) + READY)
talk("fds", rpc(4, 385, 2, 1) + b"\0\0" + with_uri, rpc(5, 385, 1) + b"\0" + READY)
talk("fds_too_many", rpc(4, 385, 33) + with_uri)
talk("keepalive", rpc(2, 1, program=0x6B656570, serial=0) + with_uri, rpc(2, 2, program=0x6B656570, serial=0) + READY)
talk("tls", b"\x16\x03\x01\x02\x00\x01\x00" + with_uri, b"\x16\x03\x03" + READY)
talk("short_length", b"\0\0\0\x1b" + with_uri, READY)
talk("client_cut", with_uri[:-7], READY + b"\0\0")


# ---- messages of a lane over a fabric: one byte that chooses what (0: as they are, 1: with length and checksum made
# right, 2: an answer's fields), then the bytes

def fabric(kind, rest=b"", tag=0, credits=0):
    return struct.pack("<IIII", kind, len(rest), tag, credits) + rest


def piece(address, key, length, reserved=0):
    return struct.pack("<QQII", address, key, length, reserved)


PIECES = piece(0x7F0000001000, 7, 32768) + piece(0x7F0000200000, 8, 32768)
OFFERED = frame(3, 1, 7, 0, 2, 16, entry(0, 1, 16, 256))[:-16]
OFFERED = OFFERED[:32] + struct.pack("<I", 65536) + OFFERED[36:] + entry(0, 1, 16, 256)
write("fabric_message", "beat", b"\x00" + fabric(6))
write("fabric_message", "credits", b"\x00" + fabric(5, credits=8))
write("fabric_message", "grant", b"\x00" + fabric(4, PIECES, tag=3, credits=2))
write("fabric_message", "grant_empty_piece", b"\x00" + fabric(4, PIECES + piece(1, 2, 0), tag=3))
write("fabric_message", "grant_reserved", b"\x00" + fabric(4, piece(1, 2, 3, 4), tag=3))
write("fabric_message", "grant_cut", b"\x00" + fabric(4, PIECES[:-1], tag=3))
write("fabric_message", "body", b"\x00" + fabric(2, b"wharf" * 9))
write("fabric_message", "frame", b"\x01" + fabric(1, frame(2, 0, 4, 1, body=b"wharf", aux=3)))
write("fabric_message", "frame_begun", b"\x01" + fabric(1, frame(2, 0, 4, body=b"wharf" * 99)[:-400]))
write("fabric_message", "frame_too_long", b"\x01" + fabric(1, frame(2, 0, 4, body=b"wharf") + b"!"))
write("fabric_message", "frame_wrong_sum", b"\x00" + fabric(1, frame(4, 1, 4)))
write("fabric_message", "offer", b"\x01" + fabric(3, OFFERED, tag=3))
write("fabric_message", "offer_with_body", b"\x01" + fabric(3, OFFERED + b"body", tag=3))
write("fabric_message", "length_wrong", b"\x00" + fabric(2, b"wharf") + b"!")
write("fabric_message", "answer_credits", b"\x02" + struct.pack("<IIB", 8, 0, 0))
write("fabric_message", "answer_grant", b"\x02" + struct.pack("<IIB", 2, 3, 1) + struct.pack("<QQI", 0x7F0000001000, 7, 65536) * 2)


# ---- a whole session at the destination: a byte for how it behaves, then steps of 8 bytes (hostile_source.h). What a
# long run has found lies beside these, under the names of libFuzzer.

(MORE, HELLO, LANE, OPEN, RECORD, BLOCKS, PAGES, TABLE, CLOSE, CONTROL, LISTEN, VMM, HANG_UP, LAST_WORD, ONCE_MORE, FIRST,
 AS_IT_IS) = range(17)
CONTROL_LINE = 128
EPOCH_END, SETUP_DONE, OPAQUE, PAGES_DONE = 1, 2, 4, 8
ZSTD, SUMS = 64, 32
MAY_BE_THERE, LANE_LOST, FAILED, DONE = range(4)
DIRECT, RELAY, UNMAPPED, PART, LATE, MAY_BE_HERE = 0, 1, 2, 4, 8, 64


def step(kind, where=0, channel=0, a=0, b=0, c=0, twist=0, value=0):
    return bytes([kind, where, channel, a, b, c, twist, value])


def more(data):
    parts = [data[at:at + 7] for at in range(0, len(data), 7)]
    return b"".join(bytes([MORE + 17 * len(part)]) + part.ljust(7, b"\0") for part in parts)


def begun(lanes=2, page_size=0, channels=2):
    steps = step(HELLO, a=lanes - 1, b=29) + b"".join(step(LANE, a=lane) for lane in range(lanes))
    steps += b"".join(step(OPEN, channel=channel) for channel in range(channels))
    return steps + step(BLOCKS, a=page_size) + step(RECORD, a=SETUP_DONE, c=2)


def passes(count, **how):
    """Each channel sends pages, and both end the epoch."""
    steps = b""
    for number in range(count):
        steps += step(PAGES, channel=1, b=number % 2, c=how.get("c", 7), value=how.get("value", 1) if number == 0 else 35)
        steps += step(PAGES, where=1, a=how.get("block", 0), b=32, c=3 | how.get("c", 7) & 0xE0, value=6 if number else 1)
        steps += step(LISTEN)
        steps += step(RECORD, channel=1, a=EPOCH_END) + step(RECORD, where=1, a=EPOCH_END, b=2)
    return steps


def ended(channels=2):
    steps = step(RECORD, a=OPAQUE | PAGES_DONE, c=9) + step(CONTROL, a=MAY_BE_THERE) + step(RECORD, c=5)
    return steps + b"".join(step(CLOSE, channel=channel) for channel in range(channels)) + step(CONTROL, a=DONE) + step(LISTEN)


for name, how, steps in (
        ("whole", DIRECT, begun() + passes(3) + ended()),
        ("whole_unmapped", DIRECT | UNMAPPED, begun() + passes(3) + ended()),
        ("whole_zstd_sums", DIRECT, begun(page_size=2) + passes(3, c=7 | ZSTD | SUMS) + ended()),
        ("whole_lines", DIRECT, begun(page_size=32) + passes(3) + ended()),
        ("whole_relayed", RELAY, begun(3) + passes(4, c=7 | ZSTD) + ended()),
        ("whole_in_part", DIRECT | PART, begun() + passes(3, block=2) + ended()),
        ("whole_late", DIRECT | LATE, begun(page_size=1) + passes(2) + ended()),
        ("same", DIRECT, begun(channels=1) + step(PAGES, c=7, value=1) + step(LISTEN) + step(RECORD, a=EPOCH_END, b=1) + step(LISTEN)
         + step(PAGES, b=16, c=7, value=6) + step(LISTEN) + step(RECORD, a=EPOCH_END, b=1) + step(PAGES, b=24, c=7, value=6)
         + ended(1)),
        ("kept", RELAY, begun(1, channels=1) + (step(PAGES, c=3, value=2) + step(RECORD, a=EPOCH_END, b=1)
         + step(PAGES, c=3, value=35) + step(RECORD, a=EPOCH_END, b=1)) * 3 + ended(1)),
        ("again", DIRECT, begun(1, channels=1) + step(PAGES, c=3, value=2) + step(RECORD, a=EPOCH_END, b=1)
         + step(TABLE, a=0, b=1, c=1, value=3) + more(bytes(16)) + step(LISTEN) + step(PAGES, c=1, value=35, twist=200)
         + step(ONCE_MORE) + step(LISTEN) + ended(1)),
        ("lane_lost", DIRECT, begun(3) + passes(1) + step(HANG_UP, a=2) + step(LISTEN) + step(CONTROL, a=LANE_LOST, b=1)
         + step(ONCE_MORE, where=2) + passes(1) + step(LISTEN) + ended()),
        ("last_lane_lost", DIRECT, begun(1) + passes(1) + step(HANG_UP, a=1) + step(LISTEN) + step(LISTEN)),
        ("last_word", MAY_BE_HERE, begun() + passes(1) + step(VMM, a=0) + step(CONTROL, a=MAY_BE_THERE) + step(LISTEN)
         + step(HANG_UP, a=0) + step(LISTEN) + step(LAST_WORD, b=1) + step(VMM, a=66 + 60) + step(LISTEN) * 8),
        ("gives_up", DIRECT, begun() + passes(1) + step(CONTROL, a=FAILED) + more(b"no \x1b[31mreason") + step(LISTEN)),
        ("opaque", DIRECT, begun() + step(RECORD, a=OPAQUE) + passes(1) + step(LISTEN)),
        ("batch_before_blocks", DIRECT, step(HELLO) + step(LANE) + step(TABLE, value=1, c=1) + more(bytes(1024)) + step(BLOCKS)),
        ("slots", DIRECT | LATE, step(HELLO) + step(LANE) + step(OPEN) + step(OPEN, channel=1) + step(BLOCKS, a=2)
         + step(PAGES, channel=1, a=1, c=31, value=1) + step(PAGES, channel=1, c=31, value=1) + step(RECORD, a=SETUP_DONE)
         + step(LISTEN) + ended()),
        ("long_records", RELAY, begun(channels=1) + step(RECORD, where=96, c=250) + step(RECORD, where=32, c=40) + ended(1)),
        ("urgent_and_disk", RELAY, begun(1, channels=1) + step(OPEN, channel=2, where=CONTROL_LINE, a=1)
         + step(OPEN, channel=3, a=2) + step(RECORD, channel=2, where=CONTROL_LINE, c=3) + step(RECORD, channel=3, c=200, where=64)
         + step(CLOSE, channel=2, where=CONTROL_LINE) + step(CLOSE, channel=3, a=1) + ended(1)),
        ("fabric", DIRECT, step(HELLO, a=2) + step(LANE, b=1) + step(LANE, a=1, b=3) + step(LANE, a=2, b=7) + step(LANE, a=2)
         + step(OPEN)),
        ("two_hellos", DIRECT, step(HELLO, a=1) + step(HELLO) + step(LANE) + step(LANE) + step(LANE, a=1) + step(LANE, a=4)
         + step(LAST_WORD) + step(HELLO)),
        ("source_left", DIRECT, step(HELLO, a=1) + step(LANE) + step(HANG_UP, a=0) + begun() + passes(1) + ended()),
        ("guest_of_70_tb", RELAY | 20, begun(1, channels=1)[:-16] + step(BLOCKS, b=4, value=255) + step(PAGES, a=1, c=7, value=1)
         + step(RECORD, a=EPOCH_END, b=1) + step(PAGES, a=1, c=7, value=35) + step(LISTEN)),
        ("not_frames", DIRECT, step(FIRST, a=0) + more(b"\xa1\x65lanes\x01") + step(FIRST, a=5) + step(HELLO)
         + step(AS_IT_IS, where=CONTROL_LINE) + more(b"GET / HTTP/1.1\r\n\r\n") + step(LISTEN)),
):
    write("session", name, bytes([how]) + steps)
