"""Machines of the tests' own in network namespaces: one switch, an address for each, and no way out."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

_numbers = count()
SWITCH = "10.87.0"
# Passes on what comes to an inherited socket, which belongs to the tests' own network, to an address of the other one.
RELAY = """import socket, sys, threading
listener, host, port = socket.socket(fileno=int(sys.argv[1])), sys.argv[2], int(sys.argv[3])

def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

def serve(near):
    try:
        with near, socket.create_connection((host, port)) as far:
            back = threading.Thread(target=pump, args=(far, near), daemon=True)
            back.start()
            pump(near, far)
            back.join()
    except OSError:
        pass

while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


@dataclass
class Namespace:
    """A machine: processes that are started ``inside`` it have its network and no other."""

    name: str
    address: str

    @property
    def inside(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.name)

    def pids(self) -> list[int]:
        return [int(word) for word in _ip("netns", "pids", self.name).split()]

    def unplug(self) -> None:
        _ip("-n", self.name, "link", "set", "eth0", "down")

    def plug(self) -> None:
        _ip("-n", self.name, "link", "set", "eth0", "up")

    def slow(self, kbit: int) -> None:
        """So many thousand bits in a second pass from here."""
        words = ["tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", f"{kbit}kbit", "burst", "16k"]
        subprocess.run([*self.inside, *words, "latency", "800ms"], check=True, capture_output=True)


@dataclass
class Net:
    """A switch in a namespace where the server lives, and machines that are plugged into it."""

    server: Namespace
    machines: list[Namespace] = field(default_factory=list)

    @contextlib.contextmanager
    def door(self, port: int) -> Iterator[int]:
        """A port of the tests' loopback that leads to the server's address."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(64)
            words = [sys.executable, "-c", RELAY, str(listener.fileno()), self.server.address, str(port)]
            relay = subprocess.Popen([*self.server.inside, *words], pass_fds=[listener.fileno()])
            try:
                yield int(listener.getsockname()[1])
            finally:
                relay.kill()
                relay.wait()


@contextlib.contextmanager
def net_of(machines: int) -> Iterator[Net]:
    """Gone at the end, with all that is plugged in. Raises CalledProcessError where this root may not make any."""
    mark = f"sirdar-{os.getpid()}-{next(_numbers)}"
    made: list[str] = []

    def namespace(name: str) -> None:
        _ip("netns", "add", name)
        made.append(name)
        _ip("-n", name, "link", "set", "lo", "up")

    try:
        switch = f"{mark}-s"
        namespace(switch)
        _ip("-n", switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", switch, "address", "add", f"{SWITCH}.1/24", "dev", "switch")
        _ip("-n", switch, "link", "set", "switch", "up")
        net = Net(Namespace(switch, f"{SWITCH}.1"))
        for number in range(machines):
            machine = Namespace(f"{mark}-{number}", f"{SWITCH}.{number + 2}")
            namespace(machine.name)
            _ip("-n", switch, "link", "add", f"port{number}", "type", "veth",
                "peer", "name", "eth0", "netns", machine.name)  # fmt: skip
            _ip("-n", switch, "link", "set", f"port{number}", "master", "switch", "up")
            _ip("-n", machine.name, "address", "add", f"{machine.address}/24", "dev", "eth0")
            machine.plug()
            net.machines.append(machine)
        yield net
    finally:
        for name in reversed(made):
            _ip("netns", "del", name)


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout
