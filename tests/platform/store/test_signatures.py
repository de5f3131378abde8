"""Who signed an expert, whom this user trusts, and what is loaded, copied and reported accordingly."""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
import subprocess
from pathlib import Path

import pytest

from roamrl.platform.cli.main import main
from roamrl.platform.store import ExpertStore, StoreError, StoreUnavailableError
from roamrl.platform.store.errors import SignatureError
from roamrl.platform.store.layout import signature_key
from roamrl.platform.store.signatures import signed_content, write_signature
from roamrl.platform.store.signing import PublicKey, public_file, read_signer
from roamrl.platform.store.transfer import TransferReport
from roamrl.platform.store.trust import distrust, trust, trusted_keys
from roamrl.platform.store.trust_policy import TrustPolicy

EVERYWHERE = pytest.mark.parametrize("place", ["folder", "moto_server"], indirect=True)


def words(expert) -> list[tuple[str, str | None]]:
    return [(each.word, each.name) for each in expert.signatures()]


@EVERYWHERE
def test_what_is_published_with_a_key_is_signed_by_it(place, make_bundle, make_fields, key_file, monkeypatch):
    monkeypatch.setenv("ROAMRL_SIGNING_KEY", str(key_file))
    key = read_signer(key_file).key
    entry_id = ExpertStore.init(place).publish(make_bundle(), make_fields())
    assert words(ExpertStore.open(place).get(entry_id)) == [("untrusted", None)]
    trust("me", key)
    reader = ExpertStore.open(place, signatures="enforce")
    assert words(reader.get(entry_id)) == [("trusted", "me")]
    assert reader.get(entry_id).bundle().spec.kind == "mlp"
    report = reader.verify()
    assert report.ok and (report.trusted, report.untrusted, report.invalid) == (1, 0, 0)


@EVERYWHERE
def test_enforce_refuses_what_no_trusted_key_signed_until_one_does(place, make_bundle, make_fields, make_signer):
    entry_id = ExpertStore.init(place).publish(make_bundle(), make_fields())

    def load(mode):
        return ExpertStore.open(place, signatures=mode).get(entry_id).bundle()

    with pytest.raises(SignatureError, match="no key is trusted here"):
        load("enforce")
    hers, his = make_signer(1), make_signer(2)
    trust("her", hers.key)
    with pytest.raises(SignatureError, match=r"\(not signed\)"):
        load("enforce")
    assert ExpertStore.open(place).get(entry_id).sign(his)
    with pytest.raises(SignatureError, match=f"signed by {his.key.short}, not trusted here"):
        load("enforce")
    assert ExpertStore.open(place).get(entry_id).sign(hers)
    assert not ExpertStore.open(place).get(entry_id).sign(hers)
    assert load("enforce").spec.kind == "mlp"
    distrust("her")
    with pytest.raises(SignatureError):
        load("enforce")
    assert load("off").spec.kind == load(None).spec.kind == "mlp"


def test_warn_says_so_once_an_expert_and_loads(store, make_bundle, make_fields, make_signer, caplog):
    trust("her", make_signer(1).key)
    entry_id = store.publish(make_bundle(), make_fields())
    signed = store.publish(make_bundle(1), make_fields())
    store.get(signed).sign(make_signer(1))
    reader = ExpertStore.open(store.location)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert reader.get(entry_id).bundle().spec.kind == reader.get(signed).bundle().spec.kind
    assert [record.getMessage() for record in caplog.records] == [
        f"expert {entry_id[:12]} has no signature by a trusted key (not signed); "
        f"see `roamrl store show {entry_id[:12]}` and `roamrl store trust add`"
    ]


def test_what_this_process_published_needs_no_signature_here_but_does_elsewhere(store, make_bundle, make_fields):
    writer = ExpertStore.open(store.location, signatures="enforce")
    entry_id = writer.publish(make_bundle(), make_fields())
    expert = writer.get(entry_id)
    assert expert.bundle().spec.kind == pickle.loads(pickle.dumps(expert)).bundle().spec.kind == "mlp"
    with pytest.raises(SignatureError):
        ExpertStore.open(store.location, signatures="enforce").get(entry_id).bundle()


def test_the_policy_goes_with_an_expert_to_other_processes(store, make_bundle, make_fields, make_signer, monkeypatch):
    entry_id = store.publish(make_bundle(), make_fields())
    trust("her", make_signer(1).key)
    reader = ExpertStore.open(store.location, signatures="enforce")
    sent = [pickle.dumps(reader.get(entry_id)), pickle.dumps(reader)]
    distrust("her")
    monkeypatch.setenv("ROAMRL_SIGNATURES", "off")
    expert, opened = (pickle.loads(data) for data in sent)
    for each in (expert, opened.get(entry_id)):
        with pytest.raises(SignatureError, match=r"\(not signed\); see"):
            each.bundle()
    store.get(entry_id).sign(make_signer(1))
    assert words(pickle.loads(sent[0])) == [("trusted", "her")] and pickle.loads(sent[0]).bundle() is not None


def damaged(data: bytes, how: str, other: bytes) -> bytes:
    value = json.loads(data)
    changes = {
        "flipped": {"signature": f"{int(value['signature'][0], 16) ^ 1:x}" + value["signature"][1:]},
        "more": {"comment": "trust me"},
        "fewer": {"signature": value["signature"][:-2]},
        "another key": {"public_key": "ab" * 32},
        "format": {"format": "roamrl-signature-v2"},
    }
    if how in changes:
        return json.dumps({**value, **changes[how]}, sort_keys=True, separators=(",", ":")).encode()
    return {
        "spaces": json.dumps(value).encode(),
        "twice": data[:-1] + b',"format":"roamrl-signature-v1"}',
        "empty": b"",
        "list": b"[]",
        "deep": b"[" * 400 + b"]" * 400,
        "large": b" " * 2000 + data,
        "pickle": pickle.dumps(value),
        "other": other,
    }[how]


DAMAGES = [
    *("flipped", "more", "fewer", "another key", "format", "spaces", "twice"),
    *("empty", "list", "deep", "large", "pickle", "other"),
]


@pytest.mark.parametrize("how", DAMAGES)
def test_a_signature_that_is_not_as_it_was_made_is_invalid(store, make_bundle, make_fields, make_signer, how):
    hers = make_signer(1)
    trust("her", hers.key)
    ids = [store.publish(make_bundle(), make_fields(seed=seed)) for seed in range(2)]
    for entry_id in ids:
        store.get(entry_id).sign(hers)
    backend = store._backend
    place, other = (signature_key(entry_id, hers.key.id) for entry_id in ids)
    backend.put(place, damaged(backend.get(place, 10_000), how, backend.get(other, 10_000)))
    reader = ExpertStore.open(store.location, signatures="enforce")
    assert words(reader.get(ids[0])) == [("invalid", "her")] and words(reader.get(ids[1])) == [("trusted", "her")]
    with pytest.raises(SignatureError, match="the one by her is not valid"):
        reader.get(ids[0]).bundle()
    report = ExpertStore.open(store.location).verify()
    assert [problem.key for problem in report.problems] == [place]
    assert (report.trusted, report.invalid) == (1, 1)
    assert store.get(ids[0]).sign(hers)
    assert reader.get(ids[0]).bundle().spec.kind == "mlp" and reader.verify().ok


@EVERYWHERE
def test_another_entrys_signature_says_nothing_of_this_one(place, make_bundle, make_fields, make_signer):
    hers = make_signer(1)
    trust("her", hers.key)
    store = ExpertStore.init(place, signatures="enforce")
    signed, bare = (ExpertStore.open(place).publish(make_bundle(), make_fields(seed=seed)) for seed in range(2))
    store.get(signed).sign(hers)
    data = store._backend.get(signature_key(signed, hers.key.id), 10_000)
    store._backend.put(signature_key(bare, hers.key.id), data)
    with pytest.raises(SignatureError, match="the one by her is not valid"):
        store.get(bare).bundle()
    assert "is not of this expert's manifest" in store.verify().problems[0].message


def test_one_valid_signature_by_a_trusted_key_is_enough(store, make_bundle, make_fields, make_signer):
    hers, his, strangers = (make_signer(number) for number in (1, 2, 3))
    trust("her", hers.key)
    trust("him", his.key)
    entry_id = store.publish(make_bundle(), make_fields())
    for signer in (hers, his, strangers):
        store.get(entry_id).sign(signer)
    store._backend.put(signature_key(entry_id, his.key.id), b"{}")
    strangers_file = store._backend.get(signature_key(entry_id, strangers.key.id), 10_000)
    reader = ExpertStore.open(store.location, signatures="enforce")
    assert words(reader.get(entry_id)) == [("trusted", "her"), ("invalid", "him"), ("untrusted", None)]
    store._backend.put(signature_key(entry_id, his.key.id), strangers_file)
    assert words(reader.get(entry_id)) == [("trusted", "her"), ("invalid", "him"), ("untrusted", None)]
    assert reader.get(entry_id).bundle().spec.kind == "mlp"


def test_a_link_or_pipe_in_a_signatures_place_is_not_read(store, make_bundle, make_fields, make_signer, tmp_path):
    hers = make_signer(1)
    trust("her", hers.key)
    entry_id = store.publish(make_bundle(), make_fields())
    store.get(entry_id).sign(hers)
    path = Path(store.location) / signature_key(entry_id, hers.key.id)
    shutil.copy(path, tmp_path / "copy.json")
    for make in (lambda: path.symlink_to(tmp_path / "copy.json"), lambda: os.mkfifo(path), path.mkdir):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        make()
        reader = ExpertStore.open(store.location, signatures="enforce")
        with pytest.raises(SignatureError):
            reader.get(entry_id).bundle()


@pytest.mark.parametrize("key_id", ["../x", "", "a/b", "A" * 64, "a" * 63, "a" * 65, "\0" * 64])
def test_ids_of_keys_that_lead_elsewhere_are_refused(store, key_id):
    with pytest.raises(StoreError, match="no key's id"):
        write_signature(store._backend, "a" * 64, key_id, b"x")
    with pytest.raises(StoreError, match="no expert's id"):
        write_signature(store._backend, "../" + "a" * 61, "a" * 64, b"x")


def test_files_that_are_no_signatures_are_problems(store, make_bundle, make_fields):
    entry_id = store.publish(make_bundle(), make_fields())
    keys = [f"signatures/{entry_id}/{name}" for name in ("notes.txt", "x.json")] + ["signatures/stray.json"]
    for key in keys:
        store._backend.put(key, b"hello")
    assert sorted(problem.key for problem in store.verify().problems) == sorted(keys)
    assert store.get(entry_id).signatures() == []


@EVERYWHERE
def test_copies_carry_valid_signatures_and_enforce_takes_only_what_trusted_keys_signed(
    place, tmp_path, make_bundle, make_fields, make_signer
):
    source = ExpertStore.init(place)
    hers, his = make_signer(1), make_signer(2)
    ids = [source.publish(make_bundle(), make_fields(seed=seed)) for seed in range(4)]
    for entry_id, signer in zip(ids, (hers, his, hers, hers), strict=False):
        source.get(entry_id).sign(signer)
    source._backend.put(signature_key(ids[0], his.key.id), b"{}")
    source._backend.delete(signature_key(ids[3], hers.key.id))
    trust("her", hers.key)
    ExpertStore.init(tmp_path / "home")
    strict = ExpertStore.open(tmp_path / "home", signatures="enforce")
    size = source.entry(ids[0]).manifest.blob.size
    report = source.copy_to(strict)
    assert report == TransferReport(copied=2, bytes=2 * size, signatures=2, invalid=1, refused=report.refused)
    assert set(report.refused) == {ids[1], ids[3]} and {entry.id for entry in strict.ls()} == {ids[0], ids[2]}
    assert strict._backend.list("signatures/") == sorted(signature_key(entry_id, hers.key.id) for entry_id in ids[::2])
    assert strict.get(ids[0]).bundle() is not None and strict.verify().ok
    late = source.get(ids[1]).sign(hers)
    report = source.copy_to(strict, [ids[1], ids[0]])
    assert late and (report.copied, report.there, report.signatures, report.refused) == (1, 1, 2, ())
    target = ExpertStore.init(tmp_path / "open", signatures="off")
    assert source.copy_to(target).copied == 4


def test_an_invalid_signature_at_the_target_is_mended_by_a_valid_one(
    store, tmp_path, make_bundle, make_fields, make_signer
):
    target, key_id = ExpertStore.init(tmp_path / "target"), make_signer().key.id
    entry_id = store.publish(make_bundle(), make_fields())
    store.get(entry_id).sign(make_signer())
    target._backend.put(signature_key(entry_id, key_id), b"x" * 100_000)
    assert store.copy_to(target).signatures == 1
    assert target.get(entry_id).signatures() == store.get(entry_id).signatures() and target.verify().ok


def test_what_waits_in_the_spool_is_signed_there_and_when_it_is_delivered(
    store, make_bundle, make_fields, key_file, monkeypatch
):
    monkeypatch.setenv("ROAMRL_SIGNING_KEY", str(key_file))
    trust("me", read_signer(key_file).key)
    writer = ExpertStore.open(store.location, spooling=True, signatures="enforce")
    put = writer._backend.put

    def fail(key, data):
        raise StoreUnavailableError("told by the test")

    monkeypatch.setattr(writer._backend, "put", fail)
    entry_id = writer.publish(make_bundle(), make_fields())
    assert words(writer.get(entry_id)) == [("trusted", "me")]
    reader = ExpertStore.open(store.location, signatures="enforce")
    assert reader.ls() == []
    monkeypatch.setattr(writer._backend, "put", put)
    assert writer.deliver().signatures == 1
    reader.refresh()
    assert reader.get(entry_id).bundle().spec.kind == "mlp"
    assert [path for path in Path(writer.spool.location).rglob("signatures/*/*") if path.is_file()] == []


def test_a_signature_is_there_before_its_entry_is(store, make_bundle, make_fields, key_file, monkeypatch):
    monkeypatch.setenv("ROAMRL_SIGNING_KEY", str(key_file))
    order = []
    backend = store._backend
    for name in ("put", "put_if_absent"):
        call = getattr(backend, name)
        monkeypatch.setattr(
            backend, name, lambda key, data, call=call: (order.append(key.split("/")[0]), call(key, data))[1]
        )
    store.publish(make_bundle(), make_fields())
    assert order.index("signatures") < order.index("entries")


def test_a_run_that_nobody_could_load_from_is_refused_before_it_begins(make_signer):
    hers, his = make_signer(1), make_signer(2)
    trust("her", hers.key)
    policy = TrustPolicy.of_user("enforce")
    for signer, said in ((None, "no key signs"), (his, f"key {his.key.short}, which is not trusted")):
        with pytest.raises(StoreError, match=said):
            policy.check_signer(signer)
    policy.check_signer(hers)
    for mode in ("warn", "off"):
        TrustPolicy.of_user(mode).check_signer(None)


def test_a_study_under_enforce_begins_only_with_a_trusted_signing_key(tmp_path, monkeypatch, key_file):
    from roamrl.platform.study.load import load_study
    from roamrl.platform.study.run import run_study

    monkeypatch.setenv("ROAMRL_SIGNATURES", "enforce")
    study = load_study("quick", ())
    with pytest.raises(StoreError, match="no key signs what this run publishes"):
        run_study(study, out=tmp_path / "run", store=str(tmp_path / "store"))
    monkeypatch.setenv("ROAMRL_SIGNING_KEY", str(tmp_path / "none.pem"))
    with pytest.raises(StoreError, match="cannot read the private key"):
        run_study(study, out=tmp_path / "run", store=str(tmp_path / "store"))


@pytest.mark.parametrize("place", ["moto_server"], indirect=True)
def test_a_store_that_does_not_answer_is_loaded_from_the_cache_under_warn_alone(
    place, make_bundle, make_fields, make_signer, monkeypatch, caplog
):
    trust("her", make_signer(1).key)
    entry_id = ExpertStore.init(place).publish(make_bundle(), make_fields())
    readers = [ExpertStore.open(place, signatures=mode) for mode in ("off", "warn", "enforce")]
    readers[0].get(entry_id).bundle()
    experts = [reader.get(entry_id) for reader in readers]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for reader in readers:
        reader._backend.__dict__.pop("_store", None)
    with caplog.at_level(logging.WARNING):
        assert experts[1].bundle().spec.kind == "mlp"
    assert "were not looked at" in caplog.text
    with pytest.raises(StoreUnavailableError):
        experts[2].bundle()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_openssl_verifies_what_was_signed(store, make_bundle, make_fields, key_file, tmp_path):
    signer = read_signer(key_file)
    expert = store.get(store.publish(make_bundle(), make_fields()))
    expert.sign(signer)
    document = json.loads(store._backend.get(signature_key(expert.id, signer.key.id), 1000))
    (tmp_path / "manifest").write_bytes(signed_content(expert.entry))
    (tmp_path / "signature").write_bytes(bytes.fromhex(document["signature"]))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(public_file(key_file)), "-rawin"]
    command += ["-in", str(tmp_path / "manifest"), "-sigfile", str(tmp_path / "signature")]
    assert b"Verified Successfully" in subprocess.run(command, capture_output=True, check=True).stdout
    assert PublicKey(bytes.fromhex(document["public_key"])) == signer.key


@pytest.fixture
def roamrl(capsys):
    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


@EVERYWHERE
def test_the_commands_from_a_key_to_an_expert_that_others_accept(roamrl, place, tmp_path, make_bundle, make_fields):
    ids = [ExpertStore.init(place).publish(make_bundle(), make_fields(seed=seed)) for seed in range(2)]
    home = ExpertStore.init(tmp_path / "home").location
    key = tmp_path / "key.pem"
    code, out, err = roamrl("store", "keygen", "--out", key)
    assert code == 0 and out == f"{key}.pub\n"
    assert roamrl("store", "keygen", "--out", key)[0] == 2
    key_id = read_signer(key).key.id
    assert f"key {key_id}" in err
    assert roamrl("store", "sign", ids[0][:12], "--key", key, "--store", place)[1] == f"signed {ids[0]}\n"
    assert roamrl("store", "sign", ids[0], "--key", key, "--store", place)[1] == f"was signed {ids[0]}\n"
    shown = roamrl("store", "show", ids[0], "--store", place)[1]
    assert f"signed     by key {key_id[:16]}, not trusted\n" in shown
    assert roamrl("store", "trust", "add", "her", f"{key}.pub")[1] == f"trusted: her, key {key_id}\n"
    assert json.loads(roamrl("store", "trust", "ls", "--json")[1])[0]["key_id"] == key_id
    assert f"signed     by her, key {key_id[:16]}\n" in roamrl("store", "show", ids[0], "--store", place)[1]
    assert json.loads(roamrl("store", "show", ids[0], "--json", "--store", place)[1])["signatures"] == [
        {"key_id": key_id, "name": "her", "standing": "trusted"}
    ]
    code, out, err = roamrl("store", "verify", "--store", place)
    assert code == 0 and "signatures: 1 by trusted keys, 0 by others, 0 invalid\n" in out
    code, out, err = roamrl("store", "verify", "--signatures", "enforce", "--store", place)
    assert code == 1 and f"expert {ids[1][:12]} has no signature by a trusted key" in err
    code, out, err = roamrl("store", "pull", place, "--signatures", "enforce", "--store", home)
    assert code == 1 and out.startswith("copied 1 experts") and ids[1][:12] in err
    assert [entry.id for entry in ExpertStore.open(home).ls()] == [ids[0]]
    assert roamrl("store", "pull", place, "--signatures", "of", "--store", home)[0] == 2
    assert roamrl("store", "trust", "rm", "her")[1].startswith("no longer trusted: her")
    assert roamrl("store", "trust", "ls")[1].startswith("name") and trusted_keys() == ()


@pytest.mark.parametrize(
    "command", [("evaluate", "--study", "quick", "--split", "val"), ("export", "--onnx", "x.onnx"), ("serve",)]
)
def test_commands_that_load_experts_take_the_policy(roamrl, store, make_bundle, make_fields, command):
    entry_id = store.publish(make_bundle(), make_fields(family="slicing-v1", config={}))
    name, *rest = command
    code, _, err = roamrl(name, entry_id, *rest, "--signatures", "enforce", "--store", store.location)
    assert code == 2 and "has no signature by a trusted key" in err and "Traceback" not in err
