"""What the demos share: commands shown as a person would type them, and a bundle served and asked once."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "demo"
ROADWORTHY = str(Path(sys.executable).with_name("roadworthy"))
SERVING = re.compile(r"serving (\S+) at (\S+)")


def run(*command: str | Path) -> None:
    """Show a command as a person would type it, and run it."""
    words = [str(word) for word in command]
    shown = [Path(word).name if word in (sys.executable, ROADWORTHY) else word for word in words]
    print("$", *(word.replace(f"{HERE.parent}/", "") for word in shown), flush=True)
    if code := subprocess.run(words, cwd=HERE.parent).returncode:
        sys.exit(code)


def finish(bundle: Path, images: Path) -> None:
    """Serve the bundle, post it one of the ``images``, and say where everything is."""
    serve_and_ask(bundle, sorted((images / "7").glob("*.png"))[0])
    print(f"\nThe bundle is {bundle}\nIts report is {bundle / 'report.html'}")


def serve_and_ask(bundle: Path, image: Path) -> None:
    """Start the server on a free loopback port, post ``image``, print the answer, stop the server."""
    command = [ROADWORTHY, "serve", str(bundle), "--port", "0"]
    print("$ roadworthy serve", bundle.relative_to(HERE.parent), "--port 0")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            match = SERVING.search(line)
            if not match:
                sys.exit(f"the server did not start: {line}")
            print(line.strip())
            name, address = match.groups()
            print(f"$ curl -H 'Content-Type: image/png' --data-binary @{image.relative_to(HERE.parent)} {address}/v2/models/{name}/infer")
            print(json.dumps(ask(f"{address}/v2/models/{name}/infer", image), indent=2))
        finally:
            server.send_signal(signal.SIGTERM)


def ask(url: str, image: Path) -> dict[str, object]:
    """Post a PNG as it is, and return the server's answer."""
    request = urllib.request.Request(url, image.read_bytes(), {"Content-Type": "image/png"})
    with urllib.request.urlopen(request, timeout=30) as response:
        answer: dict[str, object] = json.load(response)
        return answer
