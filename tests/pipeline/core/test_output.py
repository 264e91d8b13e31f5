"""Outputs: what a disk or an object store refuses is bad input that names the output."""

from __future__ import annotations

import os
from pathlib import Path

import obstore
import pytest

from groundbreak.pipeline.core.output import Output
from groundbreak.pipeline.core.types import BadInput


def test_reading_makes_no_folder(tmp_path: Path) -> None:
    output = Output(str(tmp_path / "none"))
    assert output.get("a") is None
    assert output.age("a") is None
    assert list(output.list("")) == []
    assert not output.holds("a")
    output.check()
    assert list(tmp_path.iterdir()) == []


def test_objects_have_an_age(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    output.put("a/b", b"x")
    age = output.age("a/b")
    assert age is not None
    assert -1 < age < 60
    os.utime(tmp_path / "a/b", (0, 0))
    assert (output.age("a/b") or 0) > 1e9
    assert output.age("a") is None


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("Unable to write: No space left on device (os error 28)", "Free some space"),
        ("Unable to write: Disk quota exceeded (os error 122)", "Free some space"),
        ("Unable to open: Read-only file system (os error 30)", "Check the path or bucket"),
        ("Error performing PUT: 403 AccessDenied", "Check the path or bucket"),
    ],
)
def test_what_storage_says_is_named(text: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise obstore.exceptions.GenericError(f"{text}\n\nDebug source:\nmuch more")

    for name in ("put", "delete", "get", "list", "head"):
        monkeypatch.setattr(obstore, name, refuse)
    output = Output(str(tmp_path))
    calls = [
        lambda: output.put("a", b""),
        lambda: output.create("a", b""),
        lambda: output.delete("a"),
        lambda: output.get("a"),
        lambda: output.age("a"),
        lambda: list(output.list("a")),
    ]
    for call in calls:
        with pytest.raises(BadInput) as caught:
            call()  # type: ignore[no-untyped-call]
        assert caught.value.what == f"[output] path = {str(tmp_path)!r}"
        assert text in caught.value.rule
        assert "Debug" not in str(caught.value)
        assert caught.value.remedy.startswith(remedy)


def test_a_folder_that_is_a_file_or_below_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path in ("file", "file/below", "file/below/deeper"):
        with pytest.raises(BadInput, match="is no folder"):
            Output(str(tmp_path / path)).check()


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # whoever runs the tests may be allowed everything
    with pytest.raises(BadInput, match="is not writable"):
        Output(str(tmp_path / "new")).check()


def test_damaged_objects_are_named(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    for error in (ValueError("half\nmore"), KeyError("schema"), TypeError(), OSError("thrift"), RecursionError()):
        with pytest.raises(BadInput) as caught, output.understood("plan.json", "Put it back"):
            raise error
        assert caught.value.what == f"{tmp_path}/plan.json"
        assert f"is damaged ({type(error).__name__}: " in caught.value.rule
        assert "more" not in caught.value.rule
