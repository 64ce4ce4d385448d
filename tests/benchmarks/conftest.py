"""Benchmarks are imported by their folder's name, from the top of the repository."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
