from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from roamrl.platform.cli.main import main


@dataclass(frozen=True)
class Answer:
    """What a command gave back."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@pytest.fixture
def roamrl(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """Run the command line in this process, where standard error is no terminal."""
    monkeypatch.delenv("ROAMRL_STORE", raising=False)

    def call(*arguments: object) -> Answer:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        code = ended.value.code
        assert code is None or isinstance(code, int)
        return Answer(code or 0, said.out, said.err)

    return call
