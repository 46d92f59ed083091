"""Open the market: prepare the database, start every process, keep them alive, end them in order."""

import contextlib
import http.client
import itertools
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from marketplace.embedded_postgres import EmbeddedPostgres, PostgresFailed
from marketplace.stack.children import Child, Program, Say
from marketplace.stack.installation import Installation, StackFailed, free_port, listen, only_one
from marketplace.stack.preparing import Preparation

GUNICORN_SETTINGS = Path(__file__).with_name("gunicorn.conf.py")
WEB_SECONDS_MAX = 120.0
TICK_SECONDS = 0.2
FOLDERS = ("log", "bank", "bank/in")  # what people look into, and where they put the bank's files


class Stopped(BaseException):
    """Somebody asked the market to close."""


def web_command(bind: str) -> list[str]:
    """How the web server is started: `bind` is an address, or fd://N for a socket that is open already."""
    return [sys.executable, "-m", "gunicorn", "--config", str(GUNICORN_SETTINGS), "--bind", bind, "wsgi:app"]


def run_market(place: Installation, say: Say, opened: Callable[[Installation, bool], None]) -> None:
    """Keep the market open until SIGTERM, SIGINT or SIGHUP. `opened` is called once it answers.

    Raises: StackFailed; PostgresFailed.
    """
    with contextlib.ExitStack() as stack:
        calm = stack.enter_context(stopping_politely())
        try:
            stack.enter_context(only_one(place.home, place.base_url))
            door = stack.enter_context(listen(place.port, "--port"))
            place = replace(place, sandbox_port=free_port(place.sandbox_port))
            postgres = place.postgres()
            if postgres is not None:
                stack.callback(close_postgres, postgres, say)
            demo = Preparation(place, postgres, say).prepare()
            place = replace(place, demo=demo)
            children = [Child(program, place.home / "log" / f"{program.name}.log", say)
                        for program in programs(place, postgres, door.fileno())]  # fmt: skip
            stack.callback(close_children, children)
            supervise(place, postgres, children, say, lambda: opened(place, demo))
        except Stopped:
            calm()
            say("Closing …")


def programs(place: Installation, postgres: EmbeddedPostgres | None, door: int) -> list[Program]:
    """What runs. It ends in the opposite order, so what others depend on comes first."""
    ours = [sys.executable, "-m", "marketplace"]

    def url(role: str) -> str:
        return place.database_url(role, postgres=postgres)

    running = [
        Program("web", web_command(f"fd://{door}"), place.environment(url("duebill_web")), (door,)),
        Program("scheduler", [*ours, "scheduler"],
                place.environment(url("duebill_worker"), DUEBILL_READER_DATABASE_URL=url("duebill_reader"))),
        Program("signer", [*ours, "signer"],
                place.environment(url("duebill_signer"), DUEBILL_SIGNER_FOLDER=str(place.signer_folder))),
    ]  # fmt: skip
    if place.uses_sandbox:
        knobs = ["--dir", str(place.home / "sandbox"), "--port", str(place.sandbox_port)]
        knobs += ["--webhook-url", f"{place.base_url}/api/webhooks/stripe"]
        running.insert(0, Program("sandbox", [*ours, "sandbox", *knobs], place.environment(**place.stripe())))
    return running


def supervise(
    place: Installation, postgres: EmbeddedPostgres | None, children: list[Child], say: Say, opened: Callable[[], None]
) -> None:
    """Start the children, tell when the market answers, and look after everything for ever."""
    for folder in FOLDERS:
        (place.home / folder).mkdir(mode=0o700, exist_ok=True)
    began = time.monotonic()
    web = next(child for child in children if child.program.name == "web")
    web.start()  # people wait for the web server: the others are started behind it
    while not answers(place.port):
        if web.pid is None:
            raise StackFailed(f"The web server did not start. {web.log}:\n{web.last_words()}")
        if time.monotonic() - began > WEB_SECONDS_MAX:
            raise StackFailed(
                f"The web server did not answer in {WEB_SECONDS_MAX:.0f} s. {web.log}:\n{web.last_words()}"
            )
        time.sleep(0.05)
    say(f"Web server answers ({time.monotonic() - began:.1f} s)")
    for child in children:
        if child is not web:
            child.start()
    opened()
    while True:
        time.sleep(TICK_SECONDS)
        if postgres is not None and not postgres.alive():
            revive(postgres, say)
        for child in children:
            child.look_after()


def revive(postgres: EmbeddedPostgres, say: Say) -> None:
    """Start PostgreSQL again until it runs: whatever keeps it from it, such as a full disk, may pass."""
    say("PostgreSQL ended; starting it again.")
    for pause in itertools.chain((0.5, 1.0, 2.0, 5.0), itertools.repeat(15.0)):
        began = time.monotonic()
        try:
            postgres.start()
        except PostgresFailed as error:
            say(f"{error}\nTrying again in {pause:g} s.")
            time.sleep(pause)
        else:
            say(f"PostgreSQL started ({time.monotonic() - began:.1f} s)")
            return


def answers(port: int) -> bool:
    """Whether the web server answers a request, whatever it says."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz", headers={"Host": f"127.0.0.1:{port}"})
        connection.getresponse().read()
        return True
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def close_children(children: list[Child]) -> None:
    """End the children, the last started first, so that nobody loses what it depends on."""
    for child in reversed(children):
        child.stop()


def close_postgres(postgres: EmbeddedPostgres, say: Say) -> None:
    """Stop using PostgreSQL and say what became of it."""
    if postgres.stop() == "in use":
        say("PostgreSQL goes on: another program uses it.")


@contextmanager
def stopping_politely() -> Iterator[Callable[[], None]]:
    """Turn the first wish to stop into `Stopped`; after `calm()` further ones are not heard."""
    assert threading.current_thread() is threading.main_thread()
    wishes = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def calm() -> None:
        for wish in wishes:
            signal.signal(wish, signal.SIG_IGN)

    def stop(_number: int, _frame: FrameType | None) -> None:
        calm()
        raise Stopped

    before = {wish: signal.signal(wish, stop) for wish in wishes}
    try:
        yield calm
    finally:
        for wish, handler in before.items():
            signal.signal(wish, handler)
