"""Measures goplugin against bare grpcio and its peers; prints tables and writes build/bench.json.

python benchmarks/run.py [--quick] [--without-peers] [--only NAME] [--rounds N] [--output PATH] [--page PATH]
"""

import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    sys.path[:1] = [str(root), str(root / "interop_tests" / "support")]

    from benchmarks.command import main

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it too leaves nothing behind
    sys.exit(main())
