"""Signing keys and trusted keys: how they are made, kept and read, and the policy that follows from them."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as ec_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from roamrl.platform.store import ExpertStore, StoreError
from roamrl.platform.store.signing import Signer, generate_key, public_file, read_public_key, read_signer
from roamrl.platform.store.trust import distrust, trust, trusted_keys, trusted_keys_file
from roamrl.platform.store.trust_policy import TrustPolicy


def test_the_key_that_is_made_is_its_owners_alone_and_is_read_back(key_file):
    signer = read_signer(key_file)
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert read_public_key(str(public_file(key_file))) == signer.key == read_public_key(signer.key.raw.hex())
    signature = signer.sign(b"a message")
    assert signer.key.verifies(signature, b"a message")
    assert not signer.key.verifies(signature, b"another") and not signer.key.verifies(signature[:-1], b"a message")
    assert len(signature) == 64 and signer.sign(b"a message") == signature


def test_the_key_of_rfc_8032_signs_as_the_rfc_says():
    """RFC 8032, section 7.1, test 2."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    secret = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    signer = Signer(Ed25519PrivateKey.from_private_bytes(secret))
    assert signer.key.raw.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert signer.sign(b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


def test_no_key_is_replaced_and_none_is_left_half_made(key_file, tmp_path):
    before = key_file.read_bytes()
    with pytest.raises(StoreError, match="exists and is not replaced"):
        generate_key(key_file)
    public_file(key_file).unlink()
    with pytest.raises(StoreError, match="exists and is not replaced"):
        generate_key(key_file)
    assert key_file.read_bytes() == before
    (tmp_path / "new.pem.pub").write_text("somebody's")
    with pytest.raises(StoreError, match="exists and is not replaced"):
        generate_key(tmp_path / "new.pem")
    assert not (tmp_path / "new.pem").exists() and (tmp_path / "new.pem.pub").read_text() == "somebody's"


@pytest.mark.parametrize("rights", [0o604, 0o620, 0o602])
def test_a_private_key_that_others_can_read_or_change_is_refused(key_file, rights):
    key_file.chmod(rights)
    with pytest.raises(StoreError, match="open to other users; run `chmod 600"):
        read_signer(key_file)


def test_files_that_are_no_ed25519_keys_are_refused_and_not_quoted(key_file, tmp_path):
    secret = read_signer(key_file)._private
    curve = ec_key(SECP256R1())
    pkcs8 = (Encoding.PEM, PrivateFormat.PKCS8)
    cases = {
        "is encrypted": secret.private_bytes(*pkcs8, BestAvailableEncryption(b"x")),
        "of another kind": curve.private_bytes(*pkcs8, NoEncryption()),
        "holds no private key": key_file.read_bytes()[:60],
        "at most 16384 bytes": b"x" * 20_000,
    }
    for number, (said, data) in enumerate(cases.items()):
        path = tmp_path / f"{number}.pem"
        path.write_bytes(data)
        path.chmod(0o600)
        with pytest.raises(StoreError, match=said) as told:
            read_signer(path)
        assert key_file.read_text().splitlines()[1][:20] not in str(told.value)
    with pytest.raises(StoreError, match="cannot read the private key"):
        read_signer(tmp_path / "none.pem")
    other = tmp_path / "curve.pub"
    other.write_bytes(curve.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    for text, said in (
        (key_file, "private key, which is for its owner"),
        (other, "another kind"),
        (tmp_path, "cannot"),
    ):
        with pytest.raises(StoreError, match=said):
            read_public_key(str(text))


def test_a_private_key_is_neither_pickled_nor_shown(key_file, store, monkeypatch):
    monkeypatch.setenv("ROAMRL_SIGNING_KEY", str(key_file))
    signer = store.signer
    with pytest.raises(TypeError, match="does not leave its process"):
        pickle.dumps(signer)
    secret = signer._private.private_bytes_raw()
    assert repr(signer) == f"Signer({signer.key.short})"
    assert secret not in pickle.dumps(store) and "signer" not in pickle.loads(pickle.dumps(store)).__dict__


def test_trusted_keys_are_kept_in_a_file_of_this_user(make_signer):
    first, second = (make_signer(number).key for number in (1, 2))
    assert trust("her", first) and not trust("her", first) and trust("him", second)
    assert [(each.name, each.key) for each in trusted_keys()] == [("her", first), ("him", second)]
    assert trusted_keys_file().stat().st_mode & 0o777 == 0o600
    for name, key, said in (
        ("her", second, "is the name of key"),
        ("x", first, "trusted as 'her'"),
        ("a b", first, "name"),
    ):
        with pytest.raises(StoreError, match=said):
            trust(name, key)
    assert distrust(second.id[:8]).name == "him" and distrust("her").key == first
    for reference in ("her", first.id[:7], ""):
        with pytest.raises(StoreError, match="trusted: none"):
            distrust(reference)
    assert trusted_keys() == ()


def test_processes_that_trust_keys_at_once_lose_none():
    code = (
        "import sys\n"
        "from roamrl.platform.store.trust import trust\n"
        "from roamrl.platform.store.signing import PublicKey\n"
        "for n in range(5): trust(f'k{sys.argv[1]}-{n}', PublicKey(bytes([int(sys.argv[1]), n] * 16)))"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(number)]) for number in range(3)]
    assert [each.wait(120) for each in running] == [0, 0, 0]
    assert len(trusted_keys()) == 15


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "is no file of trusted keys"),
        ('{"keys": [], "more": 1}', "unknown field 'more'"),
        ('{"keys": [{"name": "a", "public_key": "zz"}]}', "public_key"),
        ('{"keys": [], "keys": []}', "stands twice"),
        (json.dumps({"keys": [{"name": n, "public_key": "a" * 64} for n in "ab"]}), "stands there twice"),
        (json.dumps({"keys": [{"name": "a", "public_key": c * 64} for c in "ab"]}), "stands there twice"),
        ("nonsense", "not the JSON"),
    ],
)
def test_a_file_of_trusted_keys_that_makes_no_sense_is_an_error(tmp_path, text, said):
    trusted_keys_file().write_text(text)
    with pytest.raises(StoreError, match=said):
        ExpertStore.init(tmp_path / "store")


def test_a_file_of_trusted_keys_that_others_may_write_or_that_is_away_is_an_error(tmp_path, monkeypatch):
    trusted_keys_file().chmod(0o620)
    with pytest.raises(StoreError, match="open to other users"):
        TrustPolicy.of_user()
    monkeypatch.setenv("ROAMRL_TRUSTED_KEYS", str(tmp_path / "none.json"))
    for mode in (None, "warn", "enforce"):
        with pytest.raises(StoreError, match="which is not there"):
            TrustPolicy.of_user(mode)
    assert TrustPolicy.of_user("off").mode == "off"


@pytest.mark.parametrize(
    ("asked", "variable", "keys", "mode"),
    [
        (None, None, 0, "off"),
        (None, None, 1, "warn"),
        (None, "", 1, "warn"),
        (None, "enforce", 0, "enforce"),
        ("off", "enforce", 1, "off"),
        ("enforce", "off", 1, "enforce"),
        (None, "off", 1, "off"),
    ],
)
def test_the_policy_is_the_one_asked_for_then_the_variables_then_warn_where_keys_are_trusted(
    monkeypatch, make_signer, asked, variable, keys, mode
):
    for number in range(keys):
        trust(f"k{number}", make_signer(number).key)
    if variable is not None:
        monkeypatch.setenv("ROAMRL_SIGNATURES", variable)
    assert TrustPolicy.of_user(asked).mode == mode
    with pytest.raises(StoreError, match="did you mean 'enforce'"):
        TrustPolicy.of_user("enforced")
