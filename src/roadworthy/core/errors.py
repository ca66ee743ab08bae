"""Everything that can go wrong, as one tree; each leaf says what happened, to what, and what to do.

::

    RoadworthyError                exit 1
    ├── UsageError                 exit 2   a wrong option or argument
    ├── SourceError                exit 3   the model file
    │   ├── SourceUnreadable                missing, empty, truncated, not a model
    │   ├── SourceRefused                   would run code from the file; --trust allows it
    │   ├── ArchitectureMismatch            the weights do not fit the architecture
    │   ├── NotInference                    the model does not behave as in inference mode
    │   └── CaptureFailed                   no route gave a usable graph
    ├── DataError                  exit 4   samples, labels, preprocessing
    ├── NoCandidate                exit 5   nothing passed within the budget
    ├── BundleError                exit 6   a bundle that is damaged or does not hold what its manifest says
    ├── EnvironmentFault           exit 7   this machine
    │   ├── BackendMissing                  an extra is not installed
    │   ├── ProgramMissing                  a program is not installed: a compiler, Node, a browser
    │   └── OutOfSpace                      the disk is full
    ├── StepFailed                 exit 8   a child process crashed, hung, ran out of memory or raised
    │   └── OutOfTime                       the deployment's time budget ended
    └── RequestError               (HTTP)   a request that is answered with a refusal
        ├── InvalidRequest
        ├── Unauthenticated                 no token, or an unknown one
        ├── Forbidden                       a token without this right
        ├── UnknownModel
        ├── Conflict                        the server's state does not allow it: there already, still in use
        ├── TooLarge
        ├── Unavailable                     not ready yet, or too many requests wait already
        └── DeadlineExceeded                the client's or the server's time ran out
"""

from __future__ import annotations

from typing import ClassVar


class RoadworthyError(Exception):
    """The root of every error that Roadworthy raises on purpose."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        """More than the message for a developer: a traceback, the tail of a log."""


class UsageError(RoadworthyError):
    """The command or call itself is wrong."""

    exit_code = 2


class SourceError(RoadworthyError):
    """Something about the model file or the live model."""

    exit_code = 3


class SourceUnreadable(SourceError):
    """The file is missing, empty, truncated or not a model of a known format."""


class SourceRefused(SourceError):
    """Reading the file could run code from it, and the user did not allow that."""


class ArchitectureMismatch(SourceError):
    """The weights do not fit the architecture."""


class NotInference(SourceError):
    """The model applies dropout, normalises by the batch, or one sample changes another's answer."""


class CaptureFailed(SourceError):
    """No capture route gave a graph that can be trusted."""


class DataError(RoadworthyError):
    """Samples, labels or preprocessing that cannot be used."""

    exit_code = 4


class NoCandidate(RoadworthyError):
    """Every candidate was rejected."""

    exit_code = 5


class BundleError(RoadworthyError):
    """A bundle that is damaged, incomplete, of a newer format or wrong on this host."""

    exit_code = 6


class EnvironmentFault(RoadworthyError):
    """Something is missing on this machine."""

    exit_code = 7


class BackendMissing(EnvironmentFault):
    """A backend whose package is not installed."""


class ProgramMissing(EnvironmentFault):
    """A program that is not installed: a compiler, Node, a browser."""


class OutOfSpace(EnvironmentFault):
    """The disk is full."""


class StepFailed(RoadworthyError):
    """A step in a child process crashed, hung, ran out of memory or raised a foreign error."""

    exit_code = 8


class OutOfTime(StepFailed):
    """The time that the whole deployment has ended before ``step`` did."""

    def __init__(self, message: str, *, step: str = "", detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.step = step


class RequestError(RoadworthyError):
    """A request that gets a refusal; ``status`` is the refusal's HTTP code."""

    status: ClassVar[int] = 400


class InvalidRequest(RequestError):
    """A request that does not fit the protocol or the model's signature."""


class UnknownModel(RequestError):
    """A model or version that is not served here."""

    status = 404


class Unauthenticated(RequestError):
    """No token came with the request, or one that is not known here."""

    status = 401


class Forbidden(RequestError):
    """The token that came with the request does not allow this."""

    status = 403


class Conflict(RequestError):
    """The request contradicts the server's present state."""

    status = 409


class TooLarge(RequestError):
    """A body or an image above the stated limit."""

    status = 413


class Unavailable(RequestError):
    """The same request may be answered a little later; ``after`` is in seconds, a guess."""

    status = 503

    def __init__(self, message: str, *, after: float = 1.0, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.after = after


class DeadlineExceeded(RequestError):
    """The time that the client or the server allows for the answer ran out before there was one."""

    status = 504
