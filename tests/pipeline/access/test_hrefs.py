"""What may be read, what of it may be shown, and how it is signed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundbreak.pipeline.access.hrefs import check, check_addresses, redact
from groundbreak.pipeline.access.providers import PROVIDERS

BY_NAME = {p.name: p for p in PROVIDERS}


@pytest.mark.parametrize(
    "href",
    [
        "https://sentinel-cogs.s3.us-west-2.amazonaws.com/a/B04.tif",
        "https://example.com:8443/a.tif?sig=x",
        "HTTPS://Example.COM./a.tif",
        "https://8.8.8.8/a.tif",
        "https://[2606:4700::1111]/a.tif",
        "s3://eodata/Sentinel-2/a.jp2",
        "gs://bucket_1/a.tif",
        "az://container/a.tif",
    ],
)
def test_public_places_may_be_read(href: str) -> None:
    assert check(href, root=None, allow_hosts=()) is None


@pytest.mark.parametrize(
    "href",
    [
        "https://127.0.0.1/a.tif",
        "https://127.0.0.1./a.tif",
        "https://127.1/a.tif",
        "https://2130706433/a.tif",
        "https://0x7f000001/a.tif",
        "https://0x7f.1/a.tif",
        "https://0177.0.0.1/a.tif",
        "https://127.0.0.0x1/a.tif",
        "https://1.2.3.4.5/a.tif",
        "https://0.0.0.0/a.tif",
        "https://10.0.0.7/a.tif",
        "https://172.16.9.9/a.tif",
        "https://192.168.1.1/a.tif",
        "https://100.64.0.1/a.tif",
        "https://169.254.169.254/latest/meta-data",
        "https://224.0.0.1/a.tif",
        "https://[::1]/a.tif",
        "https://[::ffff:127.0.0.1]/a.tif",
        "https://[::ffff:7f00:1]/a.tif",
        "https://[64:ff9b::7f00:1]/a.tif",
        "https://[2002:7f00:1::]/a.tif",
        "https://[fd00::1]/a.tif",
        "https://[fe80::1%25eth0]/a.tif",
        "https://localhost/a.tif",
        "https://LOCALHOST./a.tif",
        "https://a.localhost/a.tif",
        "https://printer.local/a.tif",
        "https://metadata.google.internal/a.tif",
        "https://intranet/a.tif",
        "https://127\u30020\u30020\u30021/a.tif",
        "https://%31%32%37.0.0.1/a.tif",
        "https://user:word@example.com/a.tif",
        "https://example.com@127.0.0.1/a.tif",
        "https://example.com\\@127.0.0.1/a.tif",
        "https://example.com:99999/a.tif",
        "https://[::1/a.tif",
        "https:///a.tif",
        "https://exa mple.com/a.tif",
        "https://example.com/a\n.tif",
        "http://example.com/a.tif",
        "ftp://example.com/a.tif",
        "file:///etc/passwd",
        "data:image/tiff;base64,AAAA",
        "javascript:alert(1)",
        "GTIFF_RAW:/etc/passwd",
        "s3://key:secret@bucket/a.tif",
        "s3:///a.tif",
        "/vsicurl/https://example.com/a.tif",
        "/etc/passwd",
        "//example.com/a.tif",
        "",
    ],
)
def test_other_places_may_not(href: str) -> None:
    assert check(href, root=None, allow_hosts=()) is not None


@given(st.integers(0, 2**24 - 1), st.sampled_from(["%d", "0x%x", "0%o"]))
def test_no_spelling_of_a_loopback_address_passes(low: int, spelling: str) -> None:
    address = 127 << 24 | low
    assert check(f"https://{spelling % address}/a", root=None, allow_hosts=()) is not None
    dotted = ".".join(spelling % (address >> shift & 255) for shift in (24, 16, 8, 0))
    assert check(f"https://{dotted}/a", root=None, allow_hosts=()) is not None


@pytest.mark.parametrize(
    ("href", "host"),
    [
        ("http://127.0.0.1:8123/a.tif", "127.0.0.1"),
        ("https://[::1]:8123/a.tif", "::1"),
        ("http://[::1]/a.tif", "[::1]"),
        ("http://Archive.Local/a.tif", "archive.local"),
        ("http://localhost./a.tif", "localhost"),
        ("http://example.com/a.tif", "example.com"),
    ],
)
def test_a_host_is_allowed_by_its_name_alone(href: str, host: str) -> None:
    assert check(href, root=None, allow_hosts=[host]) is None
    assert check(href, root=None, allow_hosts=["other.org"]) is not None


def test_naming_loopback_does_not_allow_its_odd_spellings() -> None:
    for odd in ("2130706433", "0177.0.0.1", "[::ffff:127.0.0.1]"):
        assert check(f"http://{odd}/a.tif", root=None, allow_hosts=["127.0.0.1"]) is not None


def test_local_paths_stay_in_the_folder_of_a_local_catalogue(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    root.mkdir()
    (root / "out").symlink_to(tmp_path)
    assert check(str(root / "a" / "B04.tif"), root=str(root), allow_hosts=()) is None
    outside = ["../x.tif", "out/x.tif", "../archive2/x.tif"]
    for path in ["/etc/passwd", "/vsimem/x.tif", *(str(root / name) for name in outside)]:
        assert check(path, root=str(root), allow_hosts=()) is not None, path
    assert check("https://example.com/a.tif", root=str(root), allow_hosts=()) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://h.org/a.tif?st=1&sig=S", "https://h.org/a.tif"),
        ("/vsicurl/https://u:w@h.org/a.tif?sig=S: 403", "/vsicurl/https://h.org/a.tif 403"),
        ("Max retries exceeded with url: /a.tif?sig=S%3D (Caused by x)",
         "Max retries exceeded with url: /a.tif (Caused by x)"),
        ('<a href="https://h.org/a?sig=S#f">x</a>', '<a href="https://h.org/a">x</a>'),
        ("https://h.org/a#token=S", "https://h.org/a"),
        ("is it? yes # no", "is it? yes # no"),
    ],
)  # fmt: skip
def test_redaction(text: str, shown: str) -> None:
    assert redact(text) == shown


@given(
    st.text("abcdefgh0123456789%&=+-_.~'/:,;", min_size=1),
    st.sampled_from(["https://h.org/a.tif?{}", "s3://k:{}@b/a", "url: /a/b?x=1&sig={}", "/vsicurl/https://h/a#{}"]),
)  # fmt: skip
def test_no_secret_survives_redaction(noise: str, form: str) -> None:
    secret = "SECRET" + noise if "@" not in form else "SECRET"
    shown = redact(f"reading {form.format(secret)} failed")
    assert "SECRET" not in shown
    assert redact(shown) == shown
    assert shown.startswith("reading ")
    assert shown.endswith(" failed")


@pytest.mark.parametrize(
    ("addresses", "allow", "good"),
    [
        (["8.8.8.8", "2001:4860:4860::8888"], [], True),
        (["8.8.8.8", "10.0.0.1"], [], False),
        (["127.0.0.1"], [], False),
        (["169.254.169.254"], [], False),
        (["fe80::1%eth0"], [], False),
        (["::ffff:10.0.0.1"], [], False),
        (["64:ff9b::7f00:1"], [], False),
        (["10.0.0.1"], ["H.org."], True),
        (["10.0.0.1"], ["other.org"], False),
    ],
)
def test_what_a_name_resolves_to_is_looked_at(addresses: list[str], allow: list[str], good: bool) -> None:
    assert (check_addresses("h.org", addresses, allow) is None) == good
