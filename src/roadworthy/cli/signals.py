"""SIGTERM and SIGHUP end a command as an interrupt does: child processes stop and scratch directories are removed."""

from __future__ import annotations

import signal

ENDING = (signal.SIGTERM, signal.SIGHUP)


class EndedBySignal(BaseException):
    """The signal ``number`` asks the command to end. No ``except Exception`` catches it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.name = signal.Signals(number).name


def end_on_signals() -> None:
    """Raise EndedBySignal for SIGTERM and SIGHUP. A signal that the caller ignores, as nohup does, stays ignored."""

    def end(number: int, frame: object) -> None:
        raise EndedBySignal(number)

    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)


def ignore_signals() -> None:
    """From now on no signal interrupts the command."""
    for number in (signal.SIGINT, *ENDING):
        signal.signal(number, signal.SIG_IGN)
