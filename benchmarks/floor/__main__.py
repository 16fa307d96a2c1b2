"""Run the floor's server: python -m benchmarks.floor --data DIR --port N."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvicorn

from benchmarks.floor.door import Door

KEEP_ALIVE_SECONDS = 600


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    uvicorn.run(
        Door(arguments.data / "floor.db"),
        host="127.0.0.1",
        port=arguments.port,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        access_log=False,
        # Stopping cancels the parked polls; the server would log an error for each of them.
        log_level="critical",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
