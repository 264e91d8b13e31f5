"""How hrefs become absolute, and what of them tells one file from another."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundbreak.pipeline.access.addresses import identity, naming_query, resolve, resolve_beside
from groundbreak.pipeline.access.hrefs import check


@pytest.mark.parametrize(
    ("href", "base", "absolute"),
    [
        ("./B04.tif", "/data/items.json", "/data/B04.tif"),
        ("../../etc/passwd", "/data/items.json", "/etc/passwd"),
        ("B04.tif", "https://h.org/c/i.json?sig=x", "https://h.org/c/B04.tif"),
        ("../B04.tif", "https://h.org/c/d/i.json", "https://h.org/c/B04.tif"),
        ("/B04.tif", "https://h.org/c/i.json", "https://h.org/B04.tif"),
        ("//other.org/B04.tif", "https://h.org/c/i.json", "https://other.org/B04.tif"),
        ("?file=B04.tif", "https://h.org/c/data", "https://h.org/c/data?file=B04.tif"),
        ("x/B04.tif", "s3://bucket/c/i.json", "s3://bucket/c/x/B04.tif"),
        ("../../../B04.tif", "s3://bucket/c/i.json", "s3://bucket/B04.tif"),
        ("s3://b/B04.tif", "/data/items.json", "s3://b/B04.tif"),
        ("file:///data/a%20b.tif", "https://h.org/i.json", "/data/a b.tif"),
        ("file:/data/a.tif", "https://h.org/i.json", "/data/a.tif"),
        ("file://localhost/data/a.tif", "/x/i.json", "/data/a.tif"),
        ("https://h.org/My Data/é[1].tif", "/x/i.json", "https://h.org/My%20Data/%C3%A9%5B1%5D.tif"),
        ("https://h.org/a%20b/50%/c.tif", "/x/i.json", "https://h.org/a%20b/50%25/c.tif"),
        ("https://h.org/d?file=My Data/a[1].tif", "/x/i.json", "https://h.org/d?file=My%20Data/a[1].tif"),
        ("https://[::1]:80/a b", "/x/i.json", "https://[::1]:80/a%20b"),
        ("x y.tif", "https://h.org/c/i.json", "https://h.org/c/x%20y.tif"),
    ],
)
def test_hrefs_are_made_absolute(href: str, base: str, absolute: str) -> None:
    assert resolve(href, base) == absolute
    assert resolve(absolute, "/x/items.json") == absolute


@pytest.mark.parametrize(
    ("href", "says"),
    [
        ("file:///C:/data/a.tif", "Windows"),
        ("file://C:/data/a.tif", "Windows"),
        ("C:/data/a.tif", "Windows"),
        ("file://server/share/a.tif", "another machine"),
        ("file:a.tif", "no absolute path"),
        ("red:1/a.tif", "write ./red:1/a.tif"),
        ("data\\a.tif", "write /"),
        ("https://h.org/a#b.tif", "write %23"),
        ("s3://b/a.tif?versionId=1", "write %3F"),
        ("https://me:word@h.org/a.tif", "netrc"),
        ("/etc/passwd", "move the list of items"),
        ("http://h.org/a.tif", "name it there"),
        ("https://10.0.0.1/a.tif", "allow_hosts can name it"),
    ],
)
def test_what_is_refused_is_refused_with_what_helps(href: str, says: str, tmp_path: Path) -> None:
    refused = check(resolve(href, str(tmp_path / "items.json")), root=str(tmp_path), allow_hosts=())
    assert refused is not None
    assert says in str(refused)


NAMES = ["a b", "a%20b", "100%", "%41", "#1", "q?x=1", "a%20b?c#d", "[1]", "{a}", "+", "&=", "a'b", "é", "~u", "@", "^"]


@pytest.mark.parametrize("name", NAMES)
def test_a_local_name_is_taken_as_it_is_where_such_a_file_exists(name: str, tmp_path: Path) -> None:
    file = tmp_path / name / "a.tif"
    file.parent.mkdir()
    file.touch()
    base = str(tmp_path / "items.json")
    assert resolve(f"./{name}/a.tif", base) == str(file)
    assert resolve(str(file), base) == str(file)
    assert resolve(f"file://{file}", base) == str(file)
    assert check(str(file), root=str(tmp_path), allow_hosts=()) is None


@pytest.mark.parametrize("name", [n for n in NAMES if "/" not in n])
def test_a_local_name_may_be_encoded(name: str, tmp_path: Path) -> None:
    file = tmp_path / name / "a.tif"
    file.parent.mkdir()
    file.touch()
    coded = quote(f"{name}/a.tif")
    assert resolve(coded, str(tmp_path / "items.json")) == str(file)
    assert resolve(f"file://{quote(str(file))}", "https://h.org/i.json") == str(file)


def test_of_two_names_the_one_that_is_written_is_meant(tmp_path: Path) -> None:
    for name in ("a b.tif", "a%20b.tif"):
        (tmp_path / name).touch()
    base = str(tmp_path / "items.json")
    assert resolve("a%20b.tif", base) == str(tmp_path / "a%20b.tif")
    assert resolve("a%2520b.tif", base) == str(tmp_path / "a%20b.tif")
    assert resolve("a b.tif", base) == str(tmp_path / "a b.tif")


def test_a_relative_href_means_the_file_beside_a_local_document_first(tmp_path: Path) -> None:
    document, own = str(tmp_path / "items.json"), "https://h.org/c/items.json"
    (tmp_path / "here.tif").touch()
    assert resolve_beside("./here.tif", document, own) == str(tmp_path / "here.tif")
    assert resolve_beside("./there.tif", document, own) == "https://h.org/c/there.tif"
    assert resolve_beside("https://x.org/here.tif", document, own) == "https://x.org/here.tif"
    assert resolve_beside("./here.tif", "https://m.org/items.json", own) == "https://h.org/c/here.tif"
    assert resolve_beside("./gone.tif", document, document) == str(tmp_path / "gone.tif")


SIGNED = [
    "sv=2021-06-08&st=2024-01-01&se=2024-01-02&sr=c&sp=rl&skoid=1&sktid=2&skt=3&ske=4&sks=b&skv=5&sig=SECRET%3D",
    "X-Amz-Algorithm=A&X-Amz-Credential=SECRET&X-Amz-Date=1&X-Amz-Expires=60&X-Amz-Signature=SECRET&x-amz-security-token=S",
    "AWSAccessKeyId=SECRET&Expires=17000&Signature=SECRET",
    "Expires=17000&Policy=SECRET&Key-Pair-Id=SECRET&Signature=SECRET",
    "X-Goog-Algorithm=A&X-Goog-Signature=SECRET",
    "token=SECRET",
    "access_token=SECRET",
]


@pytest.mark.parametrize("signature", SIGNED)
def test_signatures_are_no_part_of_an_identity(signature: str) -> None:
    assert identity(f"https://h.org/a.tif?{signature}") == "https://h.org/a.tif"
    named = identity("https://h.org/data?file=red.tif&v=2")
    assert identity(f"https://h.org/data?v=2&{signature}&file=red.tif") == named
    assert identity(f"https://h.org/data?{signature}&file=nir.tif&v=2") != named


def test_short_names_belong_to_a_signature_only_where_there_is_one() -> None:
    assert naming_query("https://h.org/d?st=1&sp=2&expires=3") == ["expires=3", "sp=2", "st=1"]
    assert naming_query("https://h.org/d?st=1&sp=2&Expires=3&sig=x&b=2") == ["b=2"]


@given(st.dictionaries(st.text("abcdefkt", min_size=1, max_size=4), st.text("abc/.%+", max_size=9), max_size=4))
def test_an_identity_shows_nothing_of_a_query_and_tells_queries_apart(query: dict[str, str]) -> None:
    pairs = [f"{name}={value}" for name, value in query.items()]
    shown = identity("https://h.org/d?" + "&".join(pairs))
    assert shown == identity("https://h.org/d?" + "&".join(reversed(pairs)))
    assert shown.startswith("https://h.org/d")
    assert not any(pair in shown for pair in pairs)
    if pairs:
        assert shown != identity("https://h.org/d?" + "&".join([*pairs, "zz=1"]))
        assert shown != identity("https://h.org/d")


def test_local_names_and_objects_are_their_own_identity() -> None:
    for href in ("/data/a?b/x.tif", "/data/a#b/x.tif", "s3://b/a%3Fb.tif"):
        assert identity(href) == href
