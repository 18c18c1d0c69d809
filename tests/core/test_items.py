"""Long jobs: what is settled is not done again, whatever an item does, wherever it is done."""

import sqlite3

import pytest

from dreamactor_core.errors import InputError
from dreamactor_core.items import (
    DONE,
    FAILED,
    LEFT_OUT,
    ItemStore,
    OneProcess,
    Processes,
    run_items,
)
from dreamactor_core.items.store import ITEMS_FILE

from .works import Squares, numbers

EXECUTORS = pytest.mark.parametrize("executor", [OneProcess(), Processes(2)], ids=["one", "two"])


@EXECUTORS
def test_every_item_has_a_state_a_reason_and_a_result(tmp_path, executor):
    work = Squares(tmp_path)
    heard = []
    with ItemStore(tmp_path) as store:
        items = numbers(3, 4, 5, 6, n1="leave out", n2="fail", n3="bug")
        made = run_items(
            store, "squares", work, items, executor, lambda o, k, n: heard.append((o.key, k, n))
        )
    assert list(made) == ["n0", "n1", "n2", "n3"]
    assert [record.state for record in made.values()] == [DONE, LEFT_OUT, FAILED, FAILED]
    assert made["n0"].result == {"square": 9}
    assert made["n1"].reason == "too small"
    assert made["n2"].reason == "number: got a bad one, need a good one. Mend it."
    assert made["n3"].reason.startswith("ZeroDivisionError: by nought (works.py:")
    assert sorted(key for key, _, _ in heard) == ["n0", "n1", "n2", "n3"]
    assert [(k, n) for _, k, n in heard] == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_what_is_settled_is_not_done_again_and_what_failed_or_changed_is(tmp_path):
    work = Squares(tmp_path)
    with ItemStore(tmp_path) as store:
        run_items(store, "a", work, numbers(1, 2, 3, n1="leave out", n2="fail"))
    with ItemStore(tmp_path) as store:
        again = run_items(store, "a", work, numbers(1, 2, 3, n1="leave out", n2="fail"))
        assert [line for line in work.log() if line.startswith("begun")] == [
            "begun 1", "begun 2", "begun 3", "begun 3"
        ]  # fmt: skip
        changed = run_items(store, "a", work, numbers(1, 7))
        other = run_items(store, "b", work, numbers(1))
    assert [record.state for record in again.values()] == [DONE, LEFT_OUT, FAILED]
    assert list(changed) == ["n0", "n1"] and changed["n1"].result == {"square": 49}
    assert other["n0"].result == {"square": 1}
    assert work.log().count("begun 1") == 2  # a stage of its own


def test_a_work_is_opened_once_a_process(tmp_path):
    work = Squares(tmp_path)
    with ItemStore(tmp_path) as store:
        run_items(store, "a", work, numbers(*range(8)), Processes(2))
    assert work.log().count("opened") == 2
    assert sorted(work.log())[:8] == [f"begun {k}" for k in range(8)]


def test_an_item_that_kills_its_worker_costs_no_other(tmp_path):
    work = Squares(tmp_path)
    with ItemStore(tmp_path) as store:
        items = numbers(*range(5), n1="die", n3="die once")
        made = run_items(store, "a", work, items, Processes(2))
    assert [record.state for record in made.values()] == [DONE, FAILED, DONE, DONE, DONE]
    assert "died 2 times, last with exit code 9" in made["n1"].reason
    assert work.log().count("begun 1") == 2


def test_a_server_that_is_down_ends_the_stage_and_keeps_what_is_done(tmp_path):
    work = Squares(tmp_path)
    acts = dict.fromkeys(("n1", "n2", "n3", "n4"), "no server")
    with ItemStore(tmp_path) as store:
        with pytest.raises(InputError, match=r"3 items in a row that failed.*need what every"):
            run_items(store, "a", work, numbers(*range(6), **acts))
        states = [record.state for record in store.records("a").values()]
    assert states == [DONE, FAILED, FAILED, FAILED]
    assert work.log()[-1] == "begun 3"


def test_a_store_has_one_writer(tmp_path):
    with ItemStore(tmp_path), pytest.raises(InputError, match="another process at work on it"):
        ItemStore(tmp_path)
    with ItemStore(tmp_path) as store:
        assert store.records("a") == {}


def test_a_file_that_is_no_store_is_refused_in_words(tmp_path):
    (tmp_path / ITEMS_FILE).write_text("no database" * 100)
    with pytest.raises(InputError, match="need a store of items"):
        ItemStore(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="need a folder you may write to"):
        ItemStore(tmp_path / "file" / "folder")


def test_a_row_is_on_the_disk_when_it_is_written(tmp_path):
    with ItemStore(tmp_path) as store:
        seen = []

        def look(outcome, number, total):
            rows = store._connection.total_changes
            seen.append((outcome.key, rows))

        run_items(store, "a", Squares(tmp_path), numbers(1, 2), on_outcome=look)
        assert seen == [("n0", 1), ("n1", 2)]
        assert not store._connection.in_transaction
    rows = sqlite3.connect(tmp_path / ITEMS_FILE).execute("SELECT key, state FROM items").fetchall()
    assert rows == [("n0", DONE), ("n1", DONE)]


def test_two_items_of_one_name_and_no_workers_are_refused(tmp_path):
    twice = numbers(1) + numbers(2)
    with ItemStore(tmp_path) as store, pytest.raises(InputError, match="two named n0"):
        run_items(store, "a", Squares(tmp_path), twice)
    with pytest.raises(InputError, match="at least 1"):
        Processes(0)
