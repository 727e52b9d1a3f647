"""Frames that the host puts on a tap as they are, for peer.py: numbered, so that what comes back can be told."""

import contextlib
import ctypes
import socket
import struct
import threading
import time

MAGIC = b"vnm-frame"
SOURCE = bytes.fromhex("02766e6d0001")
ETH_P_ALL, PACKET_OUTGOING = 3, 4
SOL_PACKET, PACKET_AUXDATA, PACKET_STATISTICS, PACKET_VNET_HDR = 263, 8, 6, 15
# What comes before a packet then: flags and, for the first of them, where its checksum begins and stands.
VNET_HDR, NEEDS_CSUM = struct.Struct("<B5xHH"), 1
SO_ATTACH_FILTER, SO_RCVBUFFORCE = 26, 33
TP_STATUS_VLAN_VALID = 1 << 4
# How many may be on the tap and not yet given away; it holds 500 or more for each queue, and drops what is beyond.
IN_FLIGHT = 128
# And how many of those that come back may not have yet: fewer than a small ring has room for.
AHEAD = 96
# Seconds without one more frame after which no more is waited for.
PATIENCE = 3


def ip_sum(data):
    """The Internet's checksum."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ignore_tcp(sock):
    """The socket takes what comes from the guest but TCP, of which there may be more than it can keep."""
    out_at, proto_at = -0x1000 + 4, 23      # SKF_AD_OFF + SKF_AD_PKTTYPE
    lines = [(0x28, 0, 0, out_at & 0xffffffff), (0x15, 4, 0, PACKET_OUTGOING), (0x28, 0, 0, 12), (0x15, 0, 3, 0x0800),
             (0x30, 0, 0, proto_at), (0x15, 0, 1, socket.IPPROTO_TCP), (0x06, 0, 0, 0), (0x06, 0, 0, 0x40000)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(lines), ctypes.addressof(program)))


# tests/xsk/frame.c has the same.
FILLER = bytes(i * 7 + (i >> 8) * 3 & 255 for i in range(65536))
SHIFTED = [bytes(i + by & 255 for i in range(256)) for by in range(256)]


def filler(number, size):
    """What stands behind the number."""
    return FILLER[:size].translate(SHIFTED[number & 255])


def frame(number, destination, size, vlan, port, partial=0):
    """One of `size` bytes, from one of 16 ports by its number, so that it meets each queue; with `partial` the checksum is left to do."""
    tag = struct.pack(">HH", 0x8100, vlan) if vlan else b""
    length = size - 14 - len(tag)
    payload = MAGIC + number.to_bytes(4, "big")
    payload += filler(number, length - 28 - len(payload))
    addresses = socket.inet_aton("192.0.2.77") + socket.inet_aton("192.0.2.2")
    udp = struct.pack(">HHHH", 5000 + number % 16, port, length - 20, 0)
    pseudo = addresses + struct.pack(">HH", 17, length - 20)
    checksum = ~ip_sum(pseudo) & 0xffff if partial else ip_sum(pseudo + udp + payload) or 0xffff
    head = struct.pack(">BBHHHBBH", 0x45, 0, length, 0, 0x4000, 64, 17, 0)
    head = head[:10] + struct.pack(">H", ip_sum(head + addresses)) + addresses
    before = VNET_HDR.pack(NEEDS_CSUM, 34 + len(tag), 6) if partial else b""
    return before + destination + SOURCE + tag + b"\x08\x00" + head + udp[:6] + struct.pack(">H", checksum) + payload


class Listener:
    """Has `took` see each packet on a tap, in a thread of its own, until it is closed."""

    # What `recvmsg` is given.
    room = 65536, 256

    def __init__(self, tap):
        self.over = False
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        self.prepare()
        self.socket.bind((tap, ETH_P_ALL))
        self.socket.settimeout(0.1)
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def prepare(self):
        """What the socket needs besides, before it is bound."""

    def took(self, data, more, address):
        """A packet, what the socket says besides, and where it is from."""

    def _listen(self):
        while not self.over:
            try:
                data, more, _, address = self.socket.recvmsg(*self.room)
            except OSError:
                # Nothing for a while, or a packet that no header can tell of.
                continue
            self.took(data, more, address)

    def close(self):
        self.over = True
        self.thread.join()
        self.socket.close()


class Returns(Listener):
    """What comes from the guest meanwhile: each number once, its contents as they were sent, at least those that are left."""

    def __init__(self, tap):
        self.seen = set()
        self.twice = self.wrong = self.tags = self.disorder = 0
        self.highest = -1
        self.partial = self.incomplete = 0
        self.sizes, self.places = [], []
        super().__init__(tap)

    def prepare(self):
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        ignore_tcp(self.socket)

    def took(self, data, more, _):
        self._take(data[VNET_HDR.size:], more, *VNET_HDR.unpack_from(data))

    def _take(self, data, more, flags, start, offset):
        at = data.find(MAGIC)
        if at < 0:
            return
        if flags & NEEDS_CSUM:
            self.partial += 1
            # Completed it is that of the whole datagram.
            whole = data[:start + offset] + struct.pack(">H", ip_sum(data[start:])) + data[start + offset + 2:]
            self.incomplete += start != at - 8 or ip_sum(whole[at - 16:at - 8] + struct.pack(">HH", 17, len(data) - at + 8) + whole[at - 8:]) != 0
        body = data[at + len(MAGIC):]
        number = int.from_bytes(body[:4], "big")
        rest = body[4:]
        # Of what a program has put behind a frame nobody knows.
        known = filler(number, self.payload)[:len(rest)]
        self.wrong += rest[:len(known)] != known
        self.twice += number in self.seen
        self.seen.add(number)
        self.disorder += number < self.highest
        self.highest = max(self.highest, number)
        self.sizes.append(len(data))
        self.places.append(at)
        self.tags += any(level == SOL_PACKET and struct.unpack_from("I", value)[0] & TP_STATUS_VLAN_VALID for level, _, value in more)

    payload = 0

    def expect(self, size, vlan=0):
        """What comes was sent with so many bytes."""
        self.payload = max(size - 14 - (4 if vlan else 0) - 28 - len(MAGIC) - 4, 0)

    def text(self):
        """back N twice N wrong N tagged N size MIN MAX at MIN MAX disorder N partial N incomplete N"""
        ends = [f"{min(v, default=0)} {max(v, default=0)}" for v in (self.sizes, self.places)]
        return (f"back {len(self.seen)} twice {self.twice} wrong {self.wrong} tagged {self.tags} size {ends[0]} at {ends[1]} "
                f"disorder {self.disorder} partial {self.partial} incomplete {self.incomplete}")

    def missed(self):
        """What the host itself lost of it."""
        return struct.unpack("II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]


def given(tap):
    """Packets that the tap has given away."""
    # Not from /sys, which may be another network namespace's.
    with open("/proc/net/dev", encoding="ascii") as f:
        return next(int(w[10]) for w in map(str.split, f) if w[0] == f"{tap}:")


def lost(tap):
    """And those that it had no room for."""
    with open("/proc/net/dev", encoding="ascii") as f:
        return next(int(w[12]) for w in map(str.split, f) if w[0] == f"{tap}:")


def until(done, progress, patience=PATIENCE):
    """Waits until done(), or until progress() has been the same for a while; whether it is done."""
    last, since = progress(), time.monotonic()
    while not done():
        time.sleep(0.002)
        if progress() != last:
            last, since = progress(), time.monotonic()
        elif time.monotonic() - since > patience:
            return False
    return True


class Unread(Listener):
    """Packets that this machine has handed to a tap and nobody reads any more, since this began: a tap throws away what its queue
    holds when QEMU detaches that (as the guest uses fewer), and counts it nowhere; and it may have no room. And the echo requests
    that came."""

    # Nothing of a packet is looked at.
    room = 64, 0

    def __init__(self, tap):
        self.tap, self.handed = tap, 0
        until(lambda: False, lambda: given(tap), 0.2)  # What is on its way still.
        self.start, self.echoes = given(tap), self.in_echoes()
        super().__init__(tap)

    def took(self, data, more, address):
        self.handed += address[2] == PACKET_OUTGOING

    @staticmethod
    def in_echoes():
        with open("/proc/net/snmp", encoding="ascii") as f:
            names, values = (line.split() for line in f if line.startswith("Icmp:"))
        return int(values[names.index("InEchos")])

    def text(self):
        """unread N echoes N, once nothing is on its way any more"""
        def waiting():
            return self.handed - (given(self.tap) - self.start)
        until(lambda: waiting() <= 0, lambda: (given(self.tap), self.handed))
        return f"unread {max(waiting(), 0)} echoes {self.in_echoes() - self.echoes}"


def run(tap, destination, n, size, back=0, vlan=0, port=7200, partial=0):
    """Sends n frames, waits until the guest has them, and for `back` to come back; what came of it, as text."""
    destination = bytes.fromhex(destination.replace(":", ""))
    with contextlib.closing(Returns(tap)) as returns, socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        returns.expect(size, vlan)
        out.bind((tap, 0))
        out.setsockopt(SOL_PACKET, PACKET_VNET_HDR, partial)
        start, dropped, room, waits = given(tap), lost(tap), True, True
        for i in range(n):
            out.send(frame(i, destination, size, vlan, port, partial))
            if i % 16 == 15:
                # Once some aren't taken, or don't come back, there is no use in waiting any more.
                room = room and until(lambda sent=i + 1: sent - (given(tap) - start) < IN_FLIGHT, lambda: given(tap))
                waits = waits and until(lambda sent=min(i + 1, back): sent - len(returns.seen) <= AHEAD, lambda: len(returns.seen))
        until(lambda: given(tap) - start >= n, lambda: given(tap))
        until(lambda: len(returns.seen) >= back, lambda: len(returns.seen))
        # One too many would be one more mistake.
        time.sleep(0.1)
        if missed := returns.missed():
            return f"error: the host lost {missed} of what came back"
        return f"sent {n} lost {lost(tap) - dropped} {returns.text()}"


# By the name of their tap.
listening, counting = {}, {}


def catch(tap, size):
    """Begins to listen to what the guest sends by itself."""
    listening[tap] = Returns(tap)
    listening[tap].expect(size)


def caught(tap, n):
    """Waits for n frames since then, or for no more of them; what came, as text."""
    with contextlib.closing(listening.pop(tap)) as returns:
        until(lambda: len(returns.seen) >= n, lambda: len(returns.seen))
        time.sleep(0.1)
        if missed := returns.missed():
            return f"error: the host lost {missed} of what came"
        return returns.text()


def count(tap):
    """Begins to count what the tap throws away."""
    if (old := counting.pop(tap, None)):
        old.close()
    counting[tap] = Unread(tap)


def unread(tap):
    """What it has thrown away since, as text."""
    with contextlib.closing(counting.pop(tap)) as counted:
        return counted.text()
