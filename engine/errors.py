"""What the engine refuses, and why.

    EngineError
    ├── InvalidArgument            a field of the request is wrong
    │   └── QueryFailed            the workflow's query handler refused
    ├── NotFound                   no such run, task, namespace … here
    │   └── NamespaceNotFound
    ├── AlreadyExists
    │   └── WorkflowAlreadyStarted
    ├── FailedPrecondition         the run cannot do that now
    │   ├── WorkflowNotReady
    │   └── StartRefused           the call may begin no run, and there is none that it could use
    ├── PermissionDenied
    ├── ResourceExhausted          a limit is reached
    ├── Unavailable                try again: the shard moves or the store is away
    ├── DeadlineExceeded
    ├── Unimplemented
    ├── DataLoss                   stored bytes are damaged
    └── Internal                   a bug of ours

They know no transport; `api` maps every class to both doors.
"""

from __future__ import annotations


class EngineError(Exception):
    """The engine refused a call."""

    def __init__(self, message: str | None = None, **ids: object) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.ids = ids
        super().__init__(self.message)


class InvalidArgument(EngineError):
    """A field of the request is not acceptable."""

    field = ""
    """Its name, or its path; empty where the request as a whole is not acceptable."""

    def __init__(self, message: str | None = None, field: str = "", **ids: object) -> None:
        super().__init__(message, **ids)
        self.field = field


class QueryFailed(InvalidArgument):
    """The workflow could not answer the query."""

    def __init__(self, message: str, failure: bytes = b"") -> None:
        super().__init__(message)
        self.failure = failure
        """A serialized `Failure` message as the worker gave it."""


class NotFound(EngineError):
    """There is no such thing in this namespace."""


class NamespaceNotFound(NotFound):
    """There is no such namespace in this cell."""


class AlreadyExists(EngineError):
    """It exists already."""


class WorkflowAlreadyStarted(AlreadyExists):
    """The workflow id is taken by another run."""

    def __init__(
        self, message: str, start_request_id: str, run_id: str, first_run_id: str = ""
    ) -> None:
        super().__init__(message)
        self.start_request_id = start_request_id
        self.run_id = run_id
        self.first_run_id = first_run_id


class FailedPrecondition(EngineError):
    """The execution is not in a state that allows this."""


class WorkflowNotReady(FailedPrecondition):
    """The workflow cannot answer yet: no workflow task of it has completed."""


class StartRefused(FailedPrecondition):
    """No new workflow may be started in this namespace now; what is running goes on."""


class PermissionDenied(EngineError):
    """The caller may not do this."""


class ResourceExhausted(EngineError):
    """A limit is reached; try again later."""


class Unavailable(EngineError):
    """The part of the cell that holds this execution is not available now; try again."""


class DeadlineExceeded(EngineError):
    """The call's deadline passed."""


class Unimplemented(EngineError):
    """This cell does not offer that."""


class DataLoss(EngineError):
    """Stored bytes of this execution are damaged; nothing was answered from them."""


class Internal(EngineError):
    """A bug in the engine; it is logged with this call's id."""


class StoreError(Exception):
    """A store could not do what was asked."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class StoreRejected(StoreError):
    """The store refused the transaction; nothing of it was written."""


class StoreFull(StoreRejected):
    """The store has no space left; nothing of the transaction was written."""


class StoreUnavailable(StoreError):
    """The store failed in a way that leaves open whether the transaction was written."""


class StoreMismatch(StoreError):
    """The store was made for another number of shards; shards per cell never change."""


class StoreHeld(StoreMismatch):
    """The database holds the cell of another installation: name a database of its own."""


class StoreHalfMoved(StoreMismatch):
    """The database holds half a copy of an installation: run the move again, which finishes it."""


class StoreNotEmpty(StoreMismatch):
    """The database holds data already: move to an empty one."""


class StoreDamaged(StoreError):
    """A row of a store is not what was written."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"a row of {where} is damaged and cannot be copied: restore the store from a backup,"
            " or delete what is damaged"
        )
        self.where = where


class StoreDiffers(StoreError):
    """A copy is not equal to what it was made from."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the copy differs in {what}: the installation keeps to its store;"
            " run the move again, and if it differs again, move to another database"
        )
        self.what = what
