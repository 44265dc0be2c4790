"""Programs that talk to their agent over TCP, through real agents."""

import sys
from pathlib import Path

from fake_server import FakeServer, wait_for

CLIENT = """
import os, socket, sys, time
def frame(text, chars=False):
    raw = text.encode()
    return (len(text) if chars else len(raw)).to_bytes(4, "big") + raw
peer = socket.create_connection((os.environ["EVEREST_AGENT_ADDRESS"], int(os.environ["EVEREST_AGENT_PORT"])))
task = os.environ["EVEREST_AGENT_TASK_ID"].encode()
peer.sendall((1 + len(task)).to_bytes(4, "big") + b"\\0" + task)
def exactly(n):
    raw = b""
    while len(raw) < n:
        piece = peer.recv(n - len(raw))
        if not piece: raise SystemExit("the agent is gone")
        raw += piece
    return raw
def receive():
    return exactly(int.from_bytes(exactly(4), "big")).decode()
def say(text, chars=False): peer.sendall(frame(text, chars))
"""


def talk(server: FakeServer, code: str, **more) -> str:
    (key,) = server.add_job({"command": [sys.executable, "-c", CLIENT + code]}, **more)
    return key


def test_status_messages_also_those_counted_in_characters(running: FakeServer) -> None:
    key = talk(running, 'say("начало", chars=True); say("шаг 2", chars=True); time.sleep(0.6)')
    wait_for(lambda: (message := running.messages.get(key)) and message.text == "шаг 2")
    assert running.final(key).text == "шаг 2"


def test_variables_are_shared_and_pushed(running: FakeServer) -> None:
    code = """
import pathlib
say("VAR_GET best"); print(receive())
say("VAR_SET best 10:a"); say("VAR_GET best"); print(receive())
say("VAR_SET_MD best 12:b"); say("VAR_GET best"); print(receive())
say("VAR_SET_MD best 7.5:c d"); say("VAR_GET best"); print(receive())
say("ready")
print(receive())
"""
    key = talk(running, code)
    job = key.rsplit("-", 2)[0]
    wait_for(lambda: (message := running.messages.get(key)) and message.text == "ready")
    running.push(job, "best", "3")
    lines = running.final(key).stdout.text.splitlines()
    assert lines[:3] == ["VAR_VALUE best NULL", "VAR_VALUE best 10:a", "VAR_VALUE best 10:a"]
    assert lines[-2:] == ["VAR_VALUE best 7.5:c d", "VAR_VALUE best 3"]


def test_tasks_of_one_job_hear_each_other_on_one_agent(running: FakeServer) -> None:
    code = """
if task.endswith(b"-0-0"):
    say("listening"); print(receive())
else:
    time.sleep(0.3); say("VAR_SET x 1"); say("VAR_GET x"); receive()
"""
    first, second = running.add_job({"command": [sys.executable, "-c", CLIENT + code]}, tasks=2)
    assert running.final(first).stdout.text == "VAR_VALUE x 1\n"
    assert running.final(second).reason == "ok"


def test_an_unknown_task_is_shown_the_door(running: FakeServer) -> None:
    code = """
other = socket.create_connection(peer.getpeername())
other.sendall((8).to_bytes(4, "big") + b"\\0guessed")
print(other.recv(10))
"""
    key = talk(running, code)
    assert running.final(key).stdout.text == "b''\n"


def test_the_port_is_the_same_after_the_agents_restart(server: FakeServer, make_agent, tmp_path: Path) -> None:
    agent = make_agent(server).start()
    code = f"""
say("one"); time.sleep(0.1)
while not os.path.exists({str(tmp_path / "gate")!r}): time.sleep(0.02)
peer = socket.create_connection((os.environ["EVEREST_AGENT_ADDRESS"], int(os.environ["EVEREST_AGENT_PORT"])))
peer.sendall((1 + len(task)).to_bytes(4, "big") + b"\\0" + task)
say("two"); time.sleep(0.3)
"""
    key = talk(server, code)
    wait_for(lambda: (message := server.messages.get(key)) and message.text == "one")
    agent.kill()
    agent.start()
    (tmp_path / "gate").touch()
    final = server.final(key)
    assert (final.reason, final.text) == ("ok", "two"), final
