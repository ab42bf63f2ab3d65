"""Forks, the end of a program, and the servers and task queues that fork."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from pathlib import Path

import pytest

from paycollect.sandbox import Sandbox
from tests.sync.conftest import Run, asked_for
from tests.web import servers

FORK = """
import os, sys, threading
from paycollect.sync import SessionManager

with SessionManager.from_env() as pay:
    if {used}:
        pay.list_collections()
    stop = threading.Event()
    def go_on():
        while not stop.is_set():
            pay.list_collections()
    threads = [threading.Thread(target=go_on) for _ in range({threads})]
    for thread in threads:
        thread.start()
    children = []
    for number in range(3):
        if not (child := os.fork()):
            code = 1
            try:
                pay.create_checkout(amount=1, order_id=f"child-{{number}}", description="x")
                if number:
                    pay.close()
                code = 0
            finally:
                sys.stdout.flush(), sys.stderr.flush()
                os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    stop.set()
    for thread in threads:
        thread.join()
    pay.create_checkout(amount=1, order_id="parent", description="x")
    print(codes)
"""


@pytest.mark.parametrize("used", [True, False])
def test_a_fork(run: Run, sandbox: Sandbox, used: bool) -> None:
    """Parent and children go on, each with a thread and connections of its own."""
    assert run(FORK.format(used=used, threads=0)) == "[0, 0, 0]"
    orders = {one.order.order_id for one in sandbox.collections}
    assert orders == {"parent", "child-0", "child-1", "child-2"}
    assert asked_for(sandbox, "auth/token") == (1 if used else 4)


def test_a_fork_while_threads_call(run: Run, sandbox: Sandbox) -> None:
    """A child is free of what the parent's threads held at that moment."""
    assert run(FORK.format(used=True, threads=3)) == "[0, 0, 0]"
    assert len(sandbox.collections) == 4


def test_the_end_of_a_program(run: Run) -> None:
    """Whoever forgets to close gets no noise: open managers are closed at the end."""
    code = "from paycollect.sync import SessionManager\npay = SessionManager.from_env()\n"
    assert run(f"{code}pay.get_pricing(); print('done')") == "done"
    assert run(f"{code}print('unused')") == "unused"


def test_the_end_while_a_thread_waits(run: Run, sandbox: Sandbox) -> None:
    """A call of a daemon thread does not hold the program up."""
    code = """
import threading
from paycollect import ClosedError
from paycollect.sync import SessionManager
pay = SessionManager.from_env()
checkout = pay.create_checkout(amount=1, order_id="A", description="x")
def wait():
    try:
        pay.wait_for_payment(checkout.collection_id)
    except ClosedError:
        pass
threading.Thread(target=wait, daemon=True).start()
while pay.get_pricing() is None:
    pass
print("done")
"""
    started = time.monotonic()
    assert run(code) == "done"
    assert time.monotonic() - started < 10


WSGI = """
import os
from paycollect.sync import SessionManager

pay = SessionManager.from_env()
{early}

def app(environ, start_response):
    text = f"{{os.getpid()}} {{len(pay.list_collections().items)}}".encode()
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]
"""


@pytest.mark.parametrize("preload", [False, True])
def test_gunicorn(
    preload: bool, sandbox: Sandbox, environment: dict[str, str], tmp_path: Path
) -> None:
    """A manager at the top of a module serves all workers, also one used before the fork."""
    early = "pay.create_checkout(amount=1, order_id='A', description='x')" if preload else ""
    (tmp_path / "shop.py").write_text(WSGI.format(early=early))
    options = ["--workers=2", "--threads=2", *(["--preload"] if preload else []), "shop:app"]
    with servers.gunicorn(options, cwd=tmp_path, env=environment) as port:
        answers = [_get(port).split() for _ in range(40)]
    assert {found for _, found in answers} == {"1" if preload else "0"}
    assert asked_for(sandbox, "auth/token") == (1 if preload else len({pid for pid, _ in answers}))


def _get(port: int) -> str:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    client.request("GET", "/")
    text = client.getresponse().read().decode()
    client.close()
    return text


CELERY = """
from celery import Celery
from paycollect.sync import SessionManager

app = Celery("shop", broker="filesystem://", backend="file://{folder}/results")
app.conf.broker_transport_options = {{
    "data_folder_in": "{folder}/queue",
    "data_folder_out": "{folder}/queue",
    "control_folder": "{folder}/control",
}}
app.conf.worker_hijack_root_logger = False
pay = SessionManager.from_env()
pay.get_pricing()  # a thread and a connection of the parent's

@app.task(name="shop.start")
def start(order_id):
    return pay.create_checkout(amount=1, order_id=order_id, description="x").order_id
"""


def test_celery(sandbox: Sandbox, environment: dict[str, str], tmp_path: Path) -> None:
    """Tasks of prefork workers use the manager of the module, after the fork."""
    for name in ("queue", "control", "results"):
        (tmp_path / name).mkdir()
    (tmp_path / "shop.py").write_text(CELERY.format(folder=tmp_path))
    client = (
        "import shop\n"
        "results = [shop.start.delay(f'A{n}') for n in range(6)]\n"
        "print(sorted(one.get(timeout=40) for one in results))\n"
        "shop.app.control.broadcast('shutdown')\n"
    )
    command = [sys.executable, "-m", "celery", "-A", "shop", "worker", "--pool=prefork"]
    command += ["--concurrency=2", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as worker:
        try:
            done = subprocess.run(
                [sys.executable, "-c", client],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=50,
            )
        finally:
            worker.terminate()
    assert (done.stdout.strip(), done.stderr) == (str([f"A{n}" for n in range(6)]), "")
    assert {one.order.order_id for one in sandbox.collections} == {f"A{n}" for n in range(6)}
