"""How long a worker takes from exec to ready, and where the time goes.

python -m benchmarks.coldstart --rounds 10

Ready means: the model is loaded and has decoded the sample sentence that ships with asrctl, with its words.
This keeps what `asrctl bench coldstart` measures, in results/.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from benchmarks.common import machine, save, table


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coldstart", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--model", default="tiny.en-q8_0")
    options = parser.parse_args(arguments)
    command = [sys.executable, "-m", "asrctl", "bench", "coldstart", "--json"]
    command += ["--model", options.model, "--rounds", str(options.rounds), "--provider", "whisper_cpp"]
    found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    tables = [table(["part", "median"], row["figures"].items(), row["name"]) for row in found["rows"]]
    print(*tables, sep="\n\n")
    save("coldstart", {"machine": machine(), **{key: found[key] for key in ("versions", "rows")}}, *tables)
    return 0


if __name__ == "__main__":
    sys.exit(main())
