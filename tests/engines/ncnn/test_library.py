"""What ncnn's threads do while they wait, as their OpenMP reports it when it is loaded."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests import REPOSITORY

_IMPORT = (
    "import os; before = dict(os.environ); from upres.engines.ncnn.library import ncnn; print(os.environ == before)"
)


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP is part of ncnn's wheels for Linux alone")
@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "77"}, "77"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "0")],
)
def test_threads_spin_shortly_unless_the_user_says_otherwise(given: dict[str, str], spins: str) -> None:
    """The variable is gone afterwards: what is loaded or started later is not told."""
    own = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT],
        env={**own, "OMP_DISPLAY_ENV": "verbose", **given},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"
    found = re.search(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    assert found is not None
    assert found[1] == spins
