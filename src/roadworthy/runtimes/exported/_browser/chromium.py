"""The program Chromium without a window: started for one page, driven over pipes, ended with all its processes."""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from roadworthy.core.errors import ProgramMissing, StepFailed
from roadworthy.core.text import LONGEST
from roadworthy.runtimes.exported._browser.pipe import DevToolsPipe, PageTimeout

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
REMEDY = "install Chromium: apt-get install chromium; or put a program of one of these names on the PATH"
START_S = 60.0
FLAGS = (
    "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--disable-gpu",
    "--disable-dev-shm-usage", "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-breakpad", "--disable-crash-reporter", "--mute-audio", "--hide-scrollbars", "--no-proxy-server",
    # Nothing but this machine has a name.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
LONGEST_FOLDER = 40
"""Letters of a temporary directory below which Chromium can have its socket: the path of a socket has at most 107."""
PREFIX = "rw-web-"
KEPT = 30
"""Messages of the console that an error quotes at most."""


def program() -> Path:
    """Where Chromium is; raises ProgramMissing where no program of ``NAMES`` is on the PATH."""
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    raise ProgramMissing(f"no browser is installed here (looked for {', '.join(NAMES)}): {REMEDY}")


class ChromiumPage:
    """One page in a Chromium of its own. What goes wrong in the page raises StepFailed with what the console said."""

    def __init__(self, width: int = 1000, height: int = 800) -> None:
        self._profile = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_temporary()))
        self._child, self._pipe = 0, None
        try:
            self._child, self._pipe = _started(self._profile, width, height)
            target = self._pipe.call("Target.createTarget", START_S, url="about:blank")["targetId"]
            self._session = self._pipe.call("Target.attachToTarget", START_S, targetId=target, flatten=True)["sessionId"]
            for domain in ("Runtime", "Log", "Page", "Network", "Inspector"):
                self._pipe.call(f"{domain}.enable", START_S, session=self._session)
        except BaseException as problem:
            said = self._log()
            self.close()
            if isinstance(problem, StepFailed):
                raise StepFailed(f"Chromium does not start: {problem.message}: {said[-LONGEST:]}", detail=said) from problem
            raise

    def show(self, url: str, limit_s: float) -> None:
        """Go to ``url`` and wait until the document and what it names is loaded; what was said and asked for before is forgotten."""
        if self._pipe is not None:
            self._pipe.events.clear()
        self.call("Page.navigate", limit_s, url=url)
        self.evaluate("new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', () => done()))", limit_s)

    def evaluate(self, expression: str, limit_s: float) -> Any:
        """The value of ``expression``, a promise's included, as JSON has it.

        Raises PageTimeout where there is none within ``limit_s`` seconds, and StepFailed for an exception.
        """
        found = self.call("Runtime.evaluate", limit_s, expression=expression, awaitPromise=True, returnByValue=True)
        if wrong := found.get("exceptionDetails"):
            said = wrong.get("exception", {}).get("description") or wrong.get("text", "")
            raise StepFailed(str(said).splitlines()[0][:LONGEST] + self._quoted(), detail=f"{said}\n{self.said()}")
        return found["result"].get("value")

    def call(self, method: str, limit_s: float, **parameters: Any) -> dict[str, Any]:
        """The result of a method of the DevTools protocol for this page."""
        if self._pipe is None:
            raise StepFailed("the browser was closed")
        try:
            return self._pipe.call(method, limit_s, session=self._session, **parameters)
        except PageTimeout:
            raise self.late(limit_s) from None

    def late(self, limit_s: float) -> PageTimeout:
        """The error for a page that did not answer within ``limit_s`` seconds."""
        return PageTimeout(f"the page did not answer within {limit_s:g} s{self._quoted()}", detail=self.said())

    def check(self) -> None:
        """Raises StepFailed where the browser ended, or the page did."""
        if self._pipe is None:
            raise StepFailed("the browser was closed")
        self._pipe.listen()
        if any(event.get("method") == "Inspector.targetCrashed" for event in self._pipe.events):
            raise StepFailed("the page crashed: it may need more memory than there is")

    def screenshot(self, file: Path, limit_s: float) -> None:
        """Write what the page shows, all of its height, as a PNG."""
        shot = self.call("Page.captureScreenshot", limit_s, format="png", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def requested(self) -> tuple[str, ...]:
        """Every address that the page asked for."""
        events = self._pipe.events if self._pipe is not None else ()
        return tuple(one["params"]["request"]["url"] for one in events if one.get("method") == "Network.requestWillBeSent")

    def said(self) -> str:
        """Errors and warnings of the console, one a line."""
        events = self._pipe.events if self._pipe is not None else ()
        return "\n".join([line for event in events if (line := _line(event))][-KEPT:])

    def close(self) -> None:
        """End the browser with all its processes, and remove what it wrote."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._child:
            try:
                os.killpg(self._child, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.waitpid(self._child, 0)
            self._child = 0
        for _ in range(10):
            shutil.rmtree(self._profile, ignore_errors=True)
            if not self._profile.exists():
                break
            # A process of the group that is just ending may write once more.
            time.sleep(0.05)

    def _quoted(self) -> str:
        said = self.said()
        return f"; the console said: {said.splitlines()[0][:LONGEST]}" if said else ""

    def _log(self) -> str:
        log = self._profile / "said.log"
        lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
        # What it says of the machine's files on its way down explains nothing.
        return "\n".join(line for line in lines if "/crashpad/" not in line).strip()


def _temporary() -> str:
    """The temporary directory, or the system's own where its path is too long."""
    usual = tempfile.gettempdir()
    return usual if len(usual) <= LONGEST_FOLDER or not os.access("/tmp", os.W_OK) else "/tmp"


def _started(profile: Path, width: int, height: int) -> tuple[int, DevToolsPipe]:
    """The process, which leads a group of its own, and the pipes to it. It ends by itself when the pipes are closed."""
    command = [str(program()), *FLAGS, f"--window-size={width},{height}", f"--user-data-dir={profile}"]
    if os.geteuid() == 0:
        # Its sandbox does not start as root.
        command.append("--no-sandbox")
    theirs_in, ours_out = _pipe()
    ours_in, theirs_out = _pipe()
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, str(profile / "said.log"), os.O_WRONLY | os.O_CREAT, 0o600),
        (os.POSIX_SPAWN_DUP2, theirs_in, 3),
        (os.POSIX_SPAWN_DUP2, theirs_out, 4),
    ]
    try:
        child = os.posix_spawn(
            command[0], [*command, "about:blank"], os.environ | {"TMPDIR": str(profile)}, file_actions=actions, setpgroup=0
        )
    except OSError as problem:
        for descriptor in (ours_in, ours_out):
            os.close(descriptor)
        raise StepFailed(f"{command[0]} does not start: {problem}") from problem
    finally:
        for descriptor in (theirs_in, theirs_out):
            os.close(descriptor)
    return child, DevToolsPipe(ours_out, ours_in)


def _pipe() -> tuple[int, int]:
    """A pipe's ends, with numbers above those that the browser wants them to have."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high[0], high[1]


def _line(event: dict[str, Any]) -> str:
    parameters = event.get("params", {})
    match event.get("method"):
        case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "warning", "assert"):
            return " ".join(str(one.get("value", one.get("description", ""))) for one in parameters["args"])
        case "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            return str(details.get("exception", {}).get("description") or details.get("text", ""))
        case "Log.entryAdded" if parameters["entry"]["level"] in ("error", "warning"):
            return str(parameters["entry"]["text"])
    return ""
