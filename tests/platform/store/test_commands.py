"""The commands ``roamrl store ..`` in a bucket, and copies between stores."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from roamrl.platform.cli.main import main
from roamrl.platform.store import ExpertStore, StoreUnavailableError


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture
def roamrl(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    def call(*arguments: object) -> Answer:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Answer(int(ended.value.code or 0), said.out, said.err)

    return call


@pytest.mark.parametrize(
    ("place", "tags"), [("folder", "yes"), ("moto_server", "yes"), ("s3rver", "no, the endpoint")], indirect=["place"]
)
def test_init_says_what_the_storage_can_do(roamrl, place, tags):
    answer = roamrl("store", "init", place)
    assert answer.out == f"{place}\n"
    assert [line.split(":")[0] for line in answer.err.splitlines()] == ["publishing", "tags", "clock"]
    assert f"tags: {tags}" in answer.err


@pytest.mark.parametrize("place", ["moto_server"], indirect=True)
def test_every_command_works_in_a_bucket(roamrl, place, make_bundle, make_fields, monkeypatch):
    monkeypatch.setenv("ROAMRL_STORE", place)
    assert roamrl("store", "init").out == f"{place}\n"
    kept, gone = (ExpertStore.open(place).publish(make_bundle(seed), make_fields(seed=seed)) for seed in range(2))
    assert roamrl("store", "tag", "deployed", kept[:12]).code == 0
    assert roamrl("store", "show", "deployed").out.splitlines()[0].endswith(kept)
    assert roamrl("store", "compact").out.startswith("index/")
    assert roamrl("store", "rm", gone, "--reason", "wrong reward").code == 0
    assert [entry["id"] for entry in json.loads(roamrl("store", "ls", "--json").out)] == [kept]
    assert roamrl("store", "gc", "--grace", 0).out.startswith("removed ")
    answer = roamrl("store", "verify")
    assert answer.code == 0 and answer.out.startswith("2 experts, 1 weight files")


@pytest.mark.parametrize("place", ["moto_server"], indirect=True)
def test_push_and_pull_copy_what_is_not_there(roamrl, place, store, tmp_path, make_bundle, make_fields):
    first, second = (store.publish(make_bundle(seed), make_fields(seed=seed)) for seed in range(2))
    roamrl("store", "init", place)
    assert roamrl("store", "push", store.location, place, first[:12]).out.startswith("copied 1 experts")
    assert "copied 1 experts" in roamrl("store", "push", store.location, place).out
    assert roamrl("store", "push", store.location, place).out.endswith("2 were there\n")
    home = ExpertStore.init(tmp_path / "home").location
    assert "copied 1 experts" in roamrl("store", "pull", place, second, "--store", home).out
    assert [entry.id for entry in ExpertStore.open(home).ls()] == [second]


@pytest.mark.parametrize("place", ["folder", "moto_server"], indirect=True)
def test_push_spooled_empties_the_spool(roamrl, place, make_bundle, make_fields, monkeypatch):
    store = ExpertStore.init(place, spooling=True)

    def fail(*arguments: object) -> None:
        raise StoreUnavailableError("told by the test")

    with monkeypatch.context() as away:
        away.setattr("roamrl.platform.store.spool.publish_entry", _only_here(store.spool.backend, fail))
        entry_id = store.publish(make_bundle(), make_fields())
    assert ExpertStore.open(place).ls() == []
    assert roamrl("store", "push", "--spooled", place).out.startswith("copied 1 experts")
    assert [entry.id for entry in ExpertStore.open(place).ls()] == [entry_id]
    monkeypatch.setenv("ROAMRL_STORE", place)
    assert roamrl("store", "push", "--spooled").out.startswith("copied 0 experts")


def _only_here(here, fail):
    from roamrl.platform.store.publish import publish_entry

    return lambda backend, *more: publish_entry(backend, *more) if backend is here else fail()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((), "push needs two stores"), (("a",), "push needs two stores"), (("--spooled", "a", "b"), "takes one store")],
)
def test_push_says_what_it_takes(roamrl, arguments, words):
    answer = roamrl("store", "push", *arguments)
    assert answer.code == 2 and words in answer.err and "Traceback" not in answer.err


def test_a_bucket_without_credentials_is_an_error_in_one_line(roamrl, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "half")
    answer = roamrl("store", "ls", "--store", "s3://team/store")
    assert answer.code == 2 and "only half of the credentials" in answer.err and len(answer.err.splitlines()) == 1
