"""What is loaded is not searched for garbage; all the rest is, as ever."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref

from gac_ros.garbage import no_search_while_loading
from tests.ros_support import REPOSITORY


class Cycle:
    """Only a search finds that nobody needs it."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        print("found")


def test_what_was_there_while_loading_is_passed_over_and_what_comes_later_is_not() -> None:
    gc.collect()
    frozen = gc.get_freeze_count()
    try:
        with no_search_while_loading():
            assert not gc.isenabled()
            loaded = weakref.ref(Cycle())
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen
        later = weakref.ref(Cycle())
        gc.collect()
        assert loaded() is not None
        assert later() is None
    finally:
        gc.unfreeze()


def test_a_process_ends_without_a_search_only_when_asked_to() -> None:
    def output(ask: str) -> str:
        code = f"import gac_ros.garbage as g\nfrom tests.test_garbage import Cycle\n{ask}\nCycle()"
        command = [sys.executable, "-c", code]
        result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
        return result.stdout

    assert output("pass") == "found\n"
    assert output("g.no_search_at_the_end()") == ""
