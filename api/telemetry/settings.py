"""The settings of telemetry on the command line and in the environment; at first it is off."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass

OTLP_VARIABLE = "PERDURE_OTLP_ENDPOINT"
PORT_VARIABLE = "PERDURE_METRICS_PORT"
HOST_VARIABLE = "PERDURE_METRICS_HOST"
HOST_DEFAULT = "127.0.0.1"
"""What the port tells is for operators: whoever opens it to a network says so."""


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """`otlp_endpoint` is None where nothing is pushed, `metrics_port` where nothing is scraped."""

    otlp_endpoint: str | None = None
    metrics_port: int | None = None
    metrics_host: str = HOST_DEFAULT

    @property
    def is_off(self) -> bool:
        return self.otlp_endpoint is None and self.metrics_port is None


def add_arguments(
    parser: argparse.ArgumentParser, port: Callable[[str], int], environment: Mapping[str, str]
) -> None:
    parser.add_argument(
        "--otlp",
        metavar="URL",
        default=environment.get(OTLP_VARIABLE) or None,
        help=f"send traces and metrics to this OTLP/HTTP endpoint (also: {OTLP_VARIABLE})",
    )
    parser.add_argument(
        "--metrics-port",
        type=port,
        metavar="PORT",
        default=environment.get(PORT_VARIABLE) or None,
        help="tell operators metrics and health on this port; with --processes each part takes one,"
        f" this and the next ones (also: {PORT_VARIABLE})",
    )
    parser.add_argument(
        "--metrics-host",
        metavar="HOST",
        default=environment.get(HOST_VARIABLE) or HOST_DEFAULT,
        help=f"address of that port (also: {HOST_VARIABLE})",
    )


def telemetry_settings(given: argparse.Namespace) -> TelemetrySettings:
    return TelemetrySettings(given.otlp, given.metrics_port, given.metrics_host)


def as_arguments(settings: TelemetrySettings, place: int) -> list[str]:
    """What tells another process the same; it is the one at this place among several."""
    arguments: list[str] = []
    if settings.otlp_endpoint is not None:
        arguments += ["--otlp", settings.otlp_endpoint]
    if settings.metrics_port is not None:
        # Of free ports each takes its own.
        port = settings.metrics_port + place if settings.metrics_port else 0
        arguments += ["--metrics-port", str(port), "--metrics-host", settings.metrics_host]
    return arguments
