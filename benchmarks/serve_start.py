"""How long the server takes from exec to /ready, against the engine's own start; and the memory when idle.

python -m benchmarks.serve_start --rounds 10

The engine's figure is that of `asrctl bench coldstart`: from making a pool, in a process that has imported
everything, to a worker that has loaded the model and decoded the sample sentence with its words. The
server's has the interpreter and all imports in it. Both take turns.
"""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

from asrctl.bench.engine import Workers
from asrctl.bench.setup import Setup
from benchmarks.common import note, table
from benchmarks.serve_process import Memory, ServerProcess
from benchmarks.talks import keep, parser, setup_for

_GOAL_S = 0.5
_GOAL_MB = 300.0
_SETTLE_S = 1.0


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 1 if a goal is missed."""
    made = parser("serve_start", __doc__)
    made.add_argument("--rounds", type=int, default=10)
    options = made.parse_args(arguments)
    setup = setup_for(options.model)
    engine_start(setup)  # not counted: it reads from disk what all later rounds find in memory
    engine_s, server_s, python_s, idle = list[float](), list[float](), list[float](), list[Memory]()
    for number in range(options.rounds):
        for which in ("engine", "server") if number % 2 == 0 else ("server", "engine"):
            if which == "engine":
                engine_s.append(engine_start(setup))
            else:
                ready_s, memory = server_start(options.model)
                server_s.append(ready_s)
                idle.append(memory)
        python_s.append(interpreter_start())
        note(f"round {number + 1}: engine {engine_s[-1]:.3f} s, server {server_s[-1]:.3f} s")
    rows = {"engine to ready": engine_s, "server, exec to /ready": server_s, "python -c pass": python_s}
    starts = table(
        ["start", "median s", "least", "most"],
        [[name, median(values), min(values), max(values)] for name, values in rows.items()],
    )
    added_s = median(server_s) - median(engine_s)
    most = max(idle, key=lambda memory: memory.rss_mb)
    print(f"\nthe server takes {1000 * added_s:.0f} ms more (goal: at most {1000 * _GOAL_S:.0f})")
    header = ["idle and ready: processes", "RSS MB", "parent MB", "PSS MB"]
    idle_memory = table(header, [[most.processes, most.rss_mb, most.parent_mb, most.pss_mb]])
    keep(
        options,
        {
            "engine_s": engine_s,
            "server_s": server_s,
            "interpreter_s": python_s,
            "added_s": added_s,
            "idle_rss_mb": [memory.rss_mb for memory in idle],
            "idle_pss_mb": [memory.pss_mb for memory in idle],
        },
        starts,
        idle_memory,
    )
    return int(added_s > _GOAL_S or most.rss_mb >= _GOAL_MB)


def engine_start(setup: Setup) -> float:
    """From nothing to a worker that understands."""
    started = time.perf_counter()
    with Workers(setup) as workers:
        workers.wait_ready()
        return time.perf_counter() - started


def server_start(model: str) -> tuple[float, Memory]:
    """From exec to /ready; and the memory a little later, when nothing goes on any more."""
    server = ServerProcess("--model", model)
    server.start()
    try:
        ready_s = server.wait_ready()
        time.sleep(_SETTLE_S)
        return ready_s, server.memory()
    finally:
        server.stop()


def interpreter_start() -> float:
    """Python alone."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
