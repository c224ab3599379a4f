"""Tests are dealt out so that all workers end at the same time."""

from collections import Counter
from pathlib import Path

from tests.longest_first import deal, read

ROOT = Path(__file__).resolve().parents[1]
SECONDS = {"a": 60.0, "b": 50.0, "c": 40.0, "d": 30.0}
FILES = [*"xxxxx", *"aa", *"yyyyy", "b", *"cc", *"zzzz", *"ddd"]


def parts(files: list[str], workers: int) -> list[list[str]]:
    """The parts into which xdist cuts the order."""
    order = deal(files, SECONDS, workers)
    assert sorted(order) == list(range(len(files))), "each test once"
    left, found = [files[at] for at in order], []
    for worker in range(workers):
        count = len(left) // (workers - worker)
        found.append(left[:count])
        left = left[count:]
    return found


def test_each_worker_begins_with_its_share_of_the_long_files_and_ends_with_short_ones():
    one, other = parts(FILES, 2)
    assert (one[:5], other[:3]) == ([*"aaddd"], [*"bcc"])
    assert not set("abcd") & {*one[5:], *other[3:]}


def test_a_long_file_is_never_cut_while_there_is_room_for_it():
    for workers in range(1, 6):
        holders = Counter(file for part in parts(FILES, workers) for file in set(part))
        assert all(holders[file] == 1 for file in SECONDS), workers
    assert [Counter(part) for part in parts([*"aaaaaa", *"bbb"], 3)] == [{"b": 3}, {"a": 3}, {"a": 3}]


def test_the_files_in_the_list_exist():
    assert [path for path in read() if not (ROOT / path).is_file()] == []
