#!/usr/bin/env python3
"""The tests' counterpart on the host: contents that can be verified, and a count of what arrived.

TCP port 7000, one request line per connection:
  SEND n seed        answers with n bytes that seed determines, then closes
  HASH n seed        answers with the sha256 of those bytes, in hex
  RECV               reads until the other side shuts down writing, answers "count sha256"
  ECHO               sends back what arrives, until end of file
  UDPCOUNT port      answers "datagrams bytes" seen on that UDP port since the last UDPRESET
  UDPRESET           forgets all counts
  UDPSEND addr port n size   sends n datagrams of that size, answers "sent n"
  USOSEND addr port n size each seed   sends n datagrams of that size, each of which has `each` to a system call (UDP_SEGMENT), with
                     the contents that seed determines, answers "n sha256" of what was sent
  USOFLOOD addr port seconds seed tap   the same with sizes and numbers by chance, as fast as `tap` of this machine gives them away;
                     answers "calls datagrams bytes"
  FRAMES tap mac n size [back=N] [vlan=N] [port=N] [partial=1]   sends n frames of that size to `mac` on this machine's tap, as they are,
                     or with the checksum left to do, and waits for N to come back; answers "sent n lost n back n twice n wrong n tagged n size min max at min max
                     disorder n partial n incomplete n": what the tap dropped, what came back, how often what had come, with
                     other contents, with a VLAN tag, of which sizes, the contents how far behind the beginning, behind one with
                     a higher number, with a checksum that is left to the receiver, which doesn't come to the right one
  CATCH tap size     begins to listen for such frames, of that size, that the guest sends by itself
  CAUGHT tap n       waits for n of them; answers "back n …" as FRAMES does
  COUNT tap          begins to count what that tap throws away, and echo requests
  UNREAD tap         answers "unread n echoes n": packets since then that the tap has thrown away before the guest's device read them,
                     and echo requests that came
UDP ports 7100 to 7163 count what arrives; 7099 sends each datagram back.

Usage: peer.py [--port N]
"""

import argparse
import contextlib
import hashlib
import random
import selectors
import socket
import socketserver
import threading
import time

import frames

UDP_FIRST, UDP_COUNT, UDP_ECHO = 7100, 64, 7099
BLOCK = 1 << 16
UDP_SEGMENT = 103
# Of USOFLOOD: the least size of a datagram, and how many bytes may be on their way to the guest: fewer packets than a tap holds.
USO_LEAST, IN_FLIGHT = 500, 128 << 10
counts = {}
lock = threading.Lock()


def stream(n, seed):
    """n bytes in blocks. SHAKE stretches the seed: the same bytes everywhere, and nothing that repeats.

    A block is one digest repeated with its number mixed in by being part of the seed, so it stays cheap."""
    i = 0
    while n > 0:
        block = hashlib.shake_128(f"{seed}:{i}".encode()).digest(min(BLOCK, 4096))
        piece = (block * (BLOCK // len(block)))[:min(n, BLOCK)]
        yield piece
        n -= len(piece)
        i += 1


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.connection.settimeout(120)
        try:
            words = self.rfile.readline(200).decode(errors="replace").split()
            if not words:
                return
            command = getattr(self, "do_" + words[0].lower(), None)
            if command is None:
                self.reply(f"ERROR unknown request {words[0]}")
                return
            command(*words[1:])
        except (TypeError, ValueError) as e:
            self.reply(f"ERROR {e}")
        except OSError:
            pass  # The other side went away; tests do that.

    def reply(self, text):
        self.wfile.write(text.encode() + b"\n")

    def do_send(self, n, seed):
        for piece in stream(int(n), seed):
            self.connection.sendall(piece)

    def do_hash(self, n, seed):
        h = hashlib.sha256()
        for piece in stream(int(n), seed):
            h.update(piece)
        self.reply(h.hexdigest())

    def do_recv(self):
        h = hashlib.sha256()
        n = 0
        while data := self.rfile.read1(BLOCK):
            h.update(data)
            n += len(data)
        self.reply(f"{n} {h.hexdigest()}")

    def do_echo(self):
        while data := self.rfile.read1(BLOCK):
            self.connection.sendall(data)

    def do_udpcount(self, port):
        time.sleep(0.1)  # What is still in a socket's queue counts too.
        with lock:
            n, size = counts.get(int(port), (0, 0))
        self.reply(f"{n} {size}")

    def do_udpreset(self):
        with lock:
            counts.clear()
        self.reply("ok")

    def do_usosend(self, addr, port, n, size, each, seed):
        n, size, each = int(n), int(size), int(each)
        data = b"".join(stream(n * size, seed))
        with uso_socket(addr, port) as s:
            s.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
            for at in range(0, n * size, each * size):
                s.send(data[at:at + each * size])
                time.sleep(0.02)  # The guest may be slow; losing datagrams isn't the point.
        self.reply(f"{n} {hashlib.sha256(data).hexdigest()}")

    def do_usoflood(self, addr, port, seconds, seed, tap):
        chance = random.Random(seed)
        given = Given(tap)
        calls = datagrams = payload = lost = 0
        end = time.monotonic() + float(seconds)
        with contextlib.ExitStack() as stack:
            flows = [stack.enter_context(uso_socket(addr, port)) for _ in range(4)]
            while time.monotonic() < end:
                size = chance.randint(USO_LEAST, 1472)
                n = chance.randint(1, min(64, 65000 // size))
                s = chance.choice(flows)
                s.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
                s.send(bytes(size * n))
                calls, datagrams, payload = calls + 1, datagrams + n, payload + n * size
                # What is lost on the way to the tap is never given away: after a while it isn't waited for any more.
                since = time.monotonic()
                while payload - lost - given.payload() > IN_FLIGHT:
                    time.sleep(0.002)
                    if time.monotonic() - since > 5:
                        lost = payload - given.payload()
        self.reply(f"{calls} {datagrams} {payload}")

    def do_frames(self, tap, mac, n, size, *options):
        self.reply(frames.run(tap, mac, int(n), int(size), **{k: int(v) for k, v in (o.split("=") for o in options)}))

    def do_catch(self, tap, size):
        frames.catch(tap, int(size))
        self.reply("listening")

    def do_caught(self, tap, n):
        self.reply(frames.caught(tap, int(n)))

    def do_count(self, tap):
        frames.count(tap)
        self.reply("counting")

    def do_unread(self, tap):
        self.reply(frames.unread(tap))

    def do_udpsend(self, addr, port, n, size):
        family = socket.AF_INET6 if ":" in addr else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            for i in range(int(n)):
                s.sendto(i.to_bytes(4, "big").ljust(int(size), b"\0")[:int(size)], (addr, int(port)))
                if i % 32 == 31:
                    time.sleep(0.002)  # The guest may be slow; losing datagrams isn't the point.
        self.reply(f"sent {n}")


class Given:
    """Bytes of UDP over IPv4 that a tap has given away, in datagrams or in packets of several: each packet has 42 bytes
    beside them. (So has an ARP packet, of which then nothing is left.)"""

    def __init__(self, tap):
        self.tap = f"{tap}:"
        self.start = 0
        self.start = self.payload()

    def payload(self):
        # Not from /sys, which may be another network namespace's.
        with open("/proc/net/dev", encoding="ascii") as f:
            words = next(words for words in map(str.split, f) if words[0] == self.tap)
        return int(words[9]) - 42 * int(words[10]) - self.start


def uso_socket(addr, port):
    s = socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((addr, int(port)))
    return s


def udp_socket(port):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    s.bind(("::", port))
    s.setblocking(False)
    return s


def udp_loop():
    sel = selectors.DefaultSelector()
    for port in [UDP_ECHO, *range(UDP_FIRST, UDP_FIRST + UDP_COUNT)]:
        sel.register(udp_socket(port), selectors.EVENT_READ, port)
    while True:
        for key, _ in sel.select():
            for _ in range(256):
                try:
                    data, addr = key.fileobj.recvfrom(65536)
                except BlockingIOError:
                    break
                except OSError:
                    continue
                if key.data == UDP_ECHO:
                    key.fileobj.sendto(data, addr)
                    continue
                with lock:
                    n, size = counts.get(key.data, (0, 0))
                    counts[key.data] = (n + 1, size + len(data))


class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--port", type=int, default=7000, help="the TCP port (default 7000)")
    args = ap.parse_args()
    threading.Thread(target=udp_loop, daemon=True).start()
    with Server(("::", args.port), Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
