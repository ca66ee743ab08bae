"""Argument parsing only; each command imports its side inside itself."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import click

from roadworthy.core.errors import RoadworthyError
from roadworthy.core.host import library_caps
from roadworthy.core.version import __version__

INTERRUPTED = 130
EXISTING = click.Path(path_type=Path)
EXISTING_FILE = click.Path(exists=True, dir_okay=False)
PORT = click.IntRange(0, 65535)

EPILOG = """\b
Exit codes: 0 done; 1 a fault of Roadworthy's own; 2 wrong usage; 3 the source was refused or cannot be used;
4 data, labels or preprocessing; 5 no candidate within the budget; 6 a damaged bundle; 7 this machine lacks
something; 8 a step crashed, hung or ran out of memory; 130 interrupted; 129 and 143 ended by SIGHUP and SIGTERM."""


class _Ended(BaseException):
    """A signal asks the command to end; met like an interrupt: children stop and scratch goes. No ``except Exception`` keeps it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def main() -> NoReturn:
    """The ``roadworthy`` command; every error becomes one sentence and its exit code."""
    as_json = "--json" in sys.argv
    try:
        _run(as_json)
    finally:
        _clear_away()


def _meet_signals() -> None:
    """SIGTERM and SIGHUP end a command as an interrupt does; what is ignored, by nohup for one, stays ignored."""

    def end(number: int, frame: object) -> None:
        raise _Ended(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)


def _clear_away() -> None:
    """The last act, which a second signal does not cut short: no child runs on, and no scratch directory is left."""
    if "roadworthy.core.isolation.isolate" not in sys.modules and "roadworthy.core.isolation.scratch" not in sys.modules:
        return
    from roadworthy.core.isolation import isolate, scratch

    _ignore_signals()
    isolate.stop_all()
    scratch.remove_all()


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _run(as_json: bool) -> NoReturn:
    try:
        # Before any library is loaded that reads them.
        os.environ.update(library_caps())
        sys.exit(commands.main(standalone_mode=False) or 0)
    except click.exceptions.Abort:
        _fail("interrupted; nothing was written", INTERRUPTED, as_json)
    except _Ended as end:
        _fail(f"ended by {signal.Signals(end.number).name}; nothing was written", 128 + end.number, as_json)
    except KeyboardInterrupt:
        _fail("interrupted; nothing was written", INTERRUPTED, as_json)
    except click.ClickException as problem:
        _fail(problem.format_message(), 2, as_json)
    except RoadworthyError as problem:
        _fail(problem.message, problem.exit_code, as_json)
    except BrokenPipeError:
        sys.exit(0)


def _fail(message: str, code: int, as_json: bool) -> NoReturn:
    _ignore_signals()
    if as_json:
        from roadworthy.core import codec

        click.echo(codec.to_json({"error": message, "exit_code": code}).decode())
    else:
        click.echo(f"error: {message}", err=True)
    sys.exit(code)


def _percent(context: click.Context, option: click.Parameter, value: str) -> float:
    """``1%`` or ``0.01``."""
    try:
        share = float(value[:-1]) / 100 if value.endswith("%") else float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise click.BadParameter(f"{value!r} is neither a percentage such as 1% nor a share such as 0.01")
    return share


def _duration(context: click.Context, option: click.Parameter, value: str) -> float:
    """``90s``, ``10m``, ``1h``, ``2ms`` or plain seconds, in seconds; none at all only where that is the default."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|[smh]?)", value)
    if not match or not (float(match[1]) or option.default == "0s"):
        raise click.BadParameter(f"{value!r} is no duration such as 90s, 10m or 1h")
    return float(match[1]) * {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600}[match[2]]


def _limits(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> Any:
    """Each ``NAME=VALUE`` in place of a default."""
    from roadworthy.serving.limits import ServerLimits

    known: dict[str, type[int] | type[float]] = {
        field.name: int if isinstance(field.default, int) else float for field in fields(ServerLimits)
    }
    chosen: dict[str, Any] = {}
    for name, _, value in (text.partition("=") for text in values):
        try:
            chosen[name] = known[name](value)
        except KeyError:
            raise click.BadParameter(f"{name!r} is no limit; there are {', '.join(known)}") from None
        except ValueError:
            raise click.BadParameter(f"{name} takes {'a whole number' if known[name] is int else 'a number'}, not {value!r}") from None
        if not 0 < chosen[name] < 2**53:
            raise click.BadParameter(f"{name} has to be more than nothing, not {value!r}")
    return ServerLimits(**chosen)


def _names(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())


json_option: Callable[[Any], Any] = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="roadworthy")
@click.pass_context
def commands(context: click.Context) -> None:
    """Put a trained model on a CPU server: the same answers, the fastest honest way to get them, and the proof."""
    # A server finishes what it has accepted first, and has handlers of its own for that.
    if context.invoked_subcommand != "serve":
        _meet_signals()


@commands.command()
@click.argument("source", type=EXISTING)
@click.option("-o", "--output", type=EXISTING, required=True, help="The bundle's directory; an older bundle there is replaced.")
@click.option(
    "--arch", help="FILE.py:CALLABLE or package.module:callable that builds the network, with keyword arguments if it needs them."
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    help="An input such as 'x:float32[batch,3,32,32]', when it cannot be inferred; its values too: '... in 0..255'.",
)
@click.option("--signature", default="", help="Which signature of a SavedModel; the serving one by default.")
@click.option("--outputs", multiple=True, callback=_names, help="The tensors a frozen graph answers with, when it does not say.")
@click.option(
    "--data",
    help="Samples: a folder with one folder a class (images, or any files for a model of bytes), a .npz with x and y, or module:callable.",
)
@click.option("--labels", type=EXISTING, help="Class names in the order of the model's outputs: one a line, CSV or JSON.")
@click.option(
    "--preprocess",
    help="How an image becomes an input: imagenet, cifar10, mnist, unit, tf, caffe, raw (the last four also as tf:224), or a TOML file.",
)
@click.option("--metric", help="top1, top5, agreement, error or module:callable; top1 by default with labels, else agreement.")
@click.option("--max-drop", default="1%", show_default=True, callback=_percent, help="The largest loss of the metric that is acceptable.")
@click.option(
    "--objective",
    type=click.Choice(["latency", "throughput", "size", "memory"]),
    default="latency",
    show_default=True,
    help="What to win by.",
)
@click.option("--runtimes", multiple=True, callback=_names, help="Try these runtimes only (comma-separated).")
@click.option("--precisions", multiple=True, callback=_names, help="Try these precisions only: fp32, bf16, fp16, int8.")
@click.option("--samples", type=click.IntRange(min=1), help="Use at most this many samples, classes balanced.")
@click.option(
    "--time-budget", "seconds", default="30m", show_default=True, callback=_duration, help="For the whole deployment, e.g. 90s, 10m."
)
@click.option("--name", default="", help="The model's name when served; the file's by default.")
@click.option("--version", "model_version", default="1", show_default=True, help="The model's version when served.")
@click.option("--trust", is_flag=True, help="The source may run code from its file, in a process with limits.")
@click.option("--allow-training-behaviour", "allow_training", is_flag=True, help="Random or batch-coupled answers are meant.")
@click.option(
    "--allow-framework-at-serve", "allow_framework", is_flag=True, help="The winner may need the training framework on the server."
)
@json_option
def deploy(source: Path, output: Path, inputs: tuple[str, ...], model_version: str, as_json: bool, **options: Any) -> None:
    """Turn a trained model into a proven, fast bundle."""
    from roadworthy.build import deploy as build_deploy
    from roadworthy.build.job import Job
    from roadworthy.build.sources.input_syntax import parse_all
    from roadworthy.cli import console

    specs, ranges = parse_all(inputs)
    job = Job(source, output, inputs=specs, ranges=ranges, version=model_version, **options)
    with console.progress(quiet=as_json) as notify:
        deployment = build_deploy.deploy(job, notify)
    console.show_deployment(deployment.bundle, deployment.certificate, as_json=as_json)


SIDE = re.compile(r"([A-Z])=(.*)", re.DOTALL)


def _for_side(values: tuple[str, ...], index: int, option: str, sides: int) -> tuple[str, ...]:
    """Those of ``values`` that are for side ``index``: with its letter in front (``B=net.py:Net``), or with none, for every side."""
    letters = [chr(ord("A") + number) for number in range(sides)]
    chosen = []
    for value in values:
        match = SIDE.fullmatch(value)
        if match and match[1] not in letters:
            raise click.BadParameter(f"{option} {value}: there is no source {match[1]}; they are {', '.join(letters)}, in the order given")
        if not match:
            chosen.append(value)
        elif match[1] == letters[index]:
            chosen.append(match[2])
    return tuple(chosen)


def _one(values: tuple[str, ...], option: str) -> str | None:
    if len(values) > 1:
        raise click.BadParameter(f"{option} was given {len(values)} times for one source: {', '.join(values)}")
    return values[0] if values else None


@commands.command()
@click.argument("sources", nargs=-1, required=True, type=EXISTING)
@click.option("-o", "--output", "page", type=EXISTING, help="Where to write the comparison as an HTML page.")
@click.option("--arch", multiple=True, help="As for deploy; A=... or B=... for one source alone.")
@click.option("--input", "inputs", multiple=True, help="As for deploy; A=... for one source alone.")
@click.option("--signature", multiple=True, help="Which signature of a SavedModel; A=... for one source alone.")
@click.option("--outputs", multiple=True, help="The tensors a frozen graph answers with; A=... for one source alone.")
@click.option("--preprocess", multiple=True, help="How an image becomes an input; A=... for one source alone.")
@click.option("--data", help="Samples, as for deploy; arrays are transposed for a source that wants its channels elsewhere.")
@click.option("--labels", type=EXISTING, help="Class names in the order of the models' outputs: one a line, CSV or JSON.")
@click.option("--samples", type=click.IntRange(min=1), help="Use at most this many samples, classes balanced.")
@click.option("--runtimes", multiple=True, callback=_names, help="Measure these runtimes beside the originals only (comma-separated).")
@click.option("--only-parity", is_flag=True, help="Are they the same function? Nothing is timed.")
@click.option("--time-budget", "seconds", default="30m", show_default=True, callback=_duration, help="For everything, e.g. 5m.")
@click.option("--trust", is_flag=True, help="The sources may run code from their files, in processes with limits.")
@json_option
def compare(sources: tuple[Path, ...], page: Path | None, only_parity: bool, as_json: bool, **options: Any) -> None:
    """Hold two or more models side by side: are they the same function, and what does each way to run them cost?

    Options that tell how to read one source are for all of them, or for one: A=... is for the first, B=... for the second.
    """
    from roadworthy.build import compare as conductor
    from roadworthy.build.job import Job
    from roadworthy.build.package.report import comparison
    from roadworthy.build.sources.input_syntax import parse_all
    from roadworthy.cli import console

    named = {option: options.pop(option) for option in ("arch", "inputs", "signature", "outputs", "preprocess")}
    jobs = []
    for index, source in enumerate(sources):
        mine = {option: _for_side(values, index, f"--{option}", len(sources)) for option, values in named.items()}
        specs, ranges = parse_all(mine["inputs"])
        jobs.append(
            Job(
                source,
                source,
                arch=_one(mine["arch"], "--arch"),
                signature=_one(mine["signature"], "--signature") or "",
                outputs=tuple(name.strip() for value in mine["outputs"] for name in value.split(",") if name.strip()),
                inputs=specs,
                ranges=ranges,
                preprocess=_one(mine["preprocess"], "--preprocess"),
                **options,
            )
        )
    with console.progress(quiet=as_json) as notify:
        found = conductor.compare(jobs, notify, timed=not only_parity)
    if page is not None:
        comparison.write(found, page)
    console.show_comparison(found, page, as_json=as_json)


@commands.command()
@click.argument("bundle", type=EXISTING)
@json_option
def check(bundle: Path, as_json: bool) -> None:
    """Integrity, golden samples on this host, and today's figures beside the certificate's."""
    from roadworthy.cli import console
    from roadworthy.cli.check import checkup

    console.show_checkup(checkup(bundle), as_json=as_json)


@commands.command()
@click.argument("bundle", type=EXISTING)
@click.argument("files", nargs=-1, required=True, type=EXISTING)
@json_option
def predict(bundle: Path, files: tuple[Path, ...], as_json: bool) -> None:
    """Answer images, .npy or .npz files, or any file for a model that takes bytes."""
    from roadworthy.cli import console
    from roadworthy.serving.engine.local import LocalEngine
    from roadworthy.serving.engine.predict import predict_file

    with LocalEngine(bundle) as model:
        console.show_predictions([predict_file(model, file) for file in files], as_json=as_json)


@commands.command()
@click.argument("bundles", nargs=-1, required=True, type=EXISTING)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=PORT, help="The port of HTTP; 0 picks a free one.")
@click.option("--grpc-port", type=PORT, help="Answer gRPC too, at this port (needs the extra grpc).")
@click.option("--management-port", type=PORT, help="Management answers at this port only.")
@click.option("--metrics-port", type=PORT, help="Metrics answer at this port only.")
@click.option("--workers", default=0, type=click.IntRange(0), help="Worker processes.  [default: one a core, at most 8]")
@click.option("--threads", type=click.IntRange(1), help="Threads of one call.  [default: measured]")
@click.option("--batch", type=click.IntRange(1), help="Most samples of one call of several requests.  [default: measured]")
@click.option("--delay", default="0s", show_default=True, callback=_duration, help="Wait so long for a batch to fill, e.g. 2ms.")
@click.option("--versions", default=1, show_default=True, type=click.IntRange(0), help="Newest versions to serve of a model; 0: all.")
@click.option("--watch", default="0s", show_default=True, callback=_duration, help="Look so often for new bundles, e.g. 2s; 0: never.")
@click.option("--tls-certificate", "certificate", type=EXISTING_FILE, help="Certificate chain (PEM) to speak TLS with.")
@click.option("--tls-key", "key", type=EXISTING_FILE, help="Its private key (PEM).")
@click.option("--tls-client-ca", "client_ca", type=EXISTING_FILE, help="Only clients with a certificate of this authority.")
@click.option("--tokens", type=EXISTING_FILE, help="Bearer tokens and their rights (TOML or JSON).")
@click.option("--cors", multiple=True, help="An origin whose pages may call, e.g. https://example.org; may be repeated.")
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    help="A name in the Host header to answer to beside localhost, e.g. models.example.org; may be repeated; '*': any.",
)
@click.option("--log-requests", is_flag=True, help="One line of JSON a request on standard error.")
@click.option("--traces", help="Send OpenTelemetry traces to this OTLP endpoint (needs the extra otel).")
@click.option("--draft-jpeg", is_flag=True, help="Decode large JPEGs at a fraction of their size: faster, other pixels.")
@click.option("--limit", "limits", multiple=True, callback=_limits, help="NAME=VALUE, e.g. body=33554432; see docs/serving.md.")
def serve(bundles: tuple[Path, ...], **options: Any) -> None:
    """Serve bundles, or directories of them, to clients of the Open Inference Protocol, TensorFlow Serving and TorchServe.

    A directory holds bundles, or NAME/VERSION folders that are bundles.
    """
    from roadworthy.serving.server import serve_as
    from roadworthy.serving.settings import Settings

    serve_as(Settings(sources=tuple(map(str, bundles)), **options))


@commands.command()
@click.argument("bundle", type=EXISTING)
@json_option
def report(bundle: Path, as_json: bool) -> None:
    """The evidence of a bundle: its table, and where its report is."""
    from roadworthy.bundle import store
    from roadworthy.cli import console

    store.read(bundle)
    console.show_deployment(bundle, store.read_certificate(bundle), as_json=as_json)


@commands.command()
@click.argument("file", type=EXISTING)
@json_option
def inspect(file: Path, as_json: bool) -> None:
    """What a model file is and what it could execute; runs nothing from it."""
    from roadworthy.build.sources.inspect import InspectRequest, inspect_step
    from roadworthy.cli import console
    from roadworthy.core.isolation import isolate

    console.show_inspection(isolate.call(inspect_step, InspectRequest(file)), as_json=as_json)


@commands.command()
@json_option
def doctor(as_json: bool) -> None:
    """This CPU's features, threads and limits, and which runtimes work here."""
    from roadworthy.cli import console
    from roadworthy.cli.doctor import examine

    console.show_doctor(examine(), as_json=as_json)
