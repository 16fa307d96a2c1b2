"""The metrics' routes, which a front answers by itself: its control plane may be away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from api.answering import answering, check_query
from api.authentication import Authenticator
from api.metrics.account import AccountMetrics, Choice
from api.metrics.families import ACTIVITY_TYPE, FAMILIES, LABELS_OF_ALL
from api.telemetry.exposition import CONTENT_TYPE
from api.transports.errors import MissingCredential
from tenancy import Principal

METRICS_PATH = "/v1/metrics"
DESCRIPTORS_PATH = "/v1/descriptors"
DESCRIPTORS_MAX = 100
NAMES_MAX = 100

router = APIRouter(tags=["Metrics"])


class Descriptor(BaseModel):
    """One metric. All are gauges."""

    name: str
    help: str
    dimensions: list[str]


class Pagination(BaseModel):
    total: int
    limit: int
    offset: int


class Meta(BaseModel):
    pagination: Pagination


class Descriptors(BaseModel):
    meta: Meta
    descriptors: list[Descriptor]


async def _caller_of(request: Request) -> Principal:
    """By API key alone: browsers have pages."""
    headers = dict(request.scope["headers"])
    if b"authorization" not in headers:
        raise MissingCredential
    authenticator: Authenticator = request.app.state.authenticator
    principal = await authenticator.authenticate(headers, is_write=False)
    assert principal is not None, "a credential says who it is or is refused"
    return principal


Caller = Annotated[Principal, Depends(_caller_of)]


@router.get(
    METRICS_PATH,
    response_class=Response,
    responses={200: {"content": {CONTENT_TYPE: {"schema": {"type": "string"}}}}},
)
async def metrics(
    request: Request,
    caller: Caller,
    *,
    namespaces: Annotated[
        list[str],
        Query(
            default_factory=list,
            max_length=NAMES_MAX,
            description="Tell of these alone; `*` stands for anything.",
        ),
    ],
    metrics: Annotated[
        list[str],
        Query(default_factory=list, max_length=NAMES_MAX, description="Tell these alone."),
    ],
    labels: Annotated[
        list[str],
        Query(
            default_factory=list,
            max_length=NAMES_MAX,
            description=f"Tell by these labels too: `{ACTIVITY_TYPE}`.",
        ),
    ],
) -> Response:
    """What the namespaces that the key may read did in the last full minute, as OpenMetrics."""
    account: AccountMetrics = request.app.state.account
    text, completeness = await account.read(caller, Choice(namespaces, metrics, labels))
    return Response(
        text,
        headers={"x-completeness": completeness},
        media_type=CONTENT_TYPE,
    )


@router.get(DESCRIPTORS_PATH)
async def descriptors(
    caller: Caller,
    limit: Annotated[int, Query(ge=1, le=DESCRIPTORS_MAX)] = DESCRIPTORS_MAX,
    offset: Annotated[int, Query(ge=0, le=DESCRIPTORS_MAX)] = 0,
) -> Descriptors:
    """Every metric that there may be, with its labels, those on request too."""
    return Descriptors(
        meta=Meta(pagination=Pagination(total=len(FAMILIES), limit=limit, offset=offset)),
        descriptors=[
            Descriptor(
                name=it.name,
                help=it.help,
                dimensions=[*LABELS_OF_ALL, *it.labels, *it.on_request],
            )
            for it in FAMILIES[offset : offset + limit]
        ],
    )


class MetricsRoutes:
    """Answers its own paths, and passes all others on."""

    def __init__(self, account: AccountMetrics, authenticator: Authenticator) -> None:
        self._app = FastAPI(
            openapi_url=None,
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            dependencies=[Depends(check_query)],
        )
        self._app.state.account = account
        self._app.state.authenticator = authenticator
        self._app.include_router(router)
        answering(self._app)

    def before(self, app: ASGIApp) -> ASGIApp:
        async def choose(scope: Scope, receive: Receive, send: Send) -> None:
            is_ours = scope.get("path") in (METRICS_PATH, DESCRIPTORS_PATH)
            await (self._app if is_ours else app)(scope, receive, send)

        return choose

    def openapi(self, others: Mapping[str, Any]) -> dict[str, Any]:
        """Another document with these paths in it."""
        own = self._app.openapi()
        schemas = {
            **others.get("components", {}).get("schemas", {}),
            **own.get("components", {}).get("schemas", {}),
        }
        components = {**others.get("components", {}), "schemas": schemas}
        paths = {**others.get("paths", {}), **own["paths"]}
        return {**others, "paths": paths, "components": components}
