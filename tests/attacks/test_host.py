"""A host that means harm, or repeats what it was sent: no secret reaches an output, and no answer is without bounds.

What redirects lead to is tested where they are followed (`tests/pipeline/access`).
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from groundbreak.pipeline import cli
from groundbreak.pipeline.access import retries
from groundbreak.pipeline.access.hrefs import bare, redact
from groundbreak.pipeline.core.sections import SourceConfig
from groundbreak.pipeline.core.types import BadInput
from groundbreak.pipeline.stac.catalog import read_items
from tests.commands import write_config
from tests.hosts import Asked, Reply, host
from tests.stac import AREA
from tests.world import Tile, days, item, lonlat_box, write_source

SECRET = "PLANTEDs3cr3t"  # noqa: S105 - it opens nothing
ECHO = f"""<?xml version="1.0"?><Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>{SECRET}</AWSAccessKeyId>
<StringToSign>GET {SECRET}</StringToSign><SignatureProvided>{SECRET}</SignatureProvided></Error>
Authorization: Bearer {SECRET}
{{"access_token": "{SECRET}", "Cookie": "a={SECRET}; b={SECRET}"}} sig={SECRET}
/a?sig={SECRET}
"""
"""The body of an error that repeats what it was sent."""
TILE = Tile("38TPK", 32638, 600_000, 4_400_000, 64)
BOX = lonlat_box(32638, 600_100, 4_399_500, 600_500, 4_399_900)
QUERIES = (
    f"sv=2021&sr=c&se=2030&sig={SECRET}", f"X-Amz-Credential={SECRET}&X-Amz-Signature={SECRET}", f"apikey={SECRET}",
    f"token={SECRET}", f"a={SECRET}#{SECRET}", f"Signature={SECRET}&Key-Pair-Id=x", f"{SECRET}",
)  # fmt: skip


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "CATALOG_BACKOFF_S", 0.0)
    monkeypatch.setattr(retries, "FIRST_WAIT_S", 0.01)


def test_a_planted_secret_reaches_no_output_and_no_log(
    tmp_path: Path, client: Client, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    dates = days("2021-01-03", 14, 15)
    write_source(tmp_path / "source", [TILE], dates)

    def answer(asked: Asked) -> Path | Reply:
        path = asked.path.partition("?")[0].lstrip("/")
        number = next((n for n, date in enumerate(dates) if date in path), 0)
        if path.endswith("red.tif") and number % 2:
            return (403, 400, 404, 401)[number // 2 % 4], {"Content-Type": "application/xml"}, ECHO.encode()
        return tmp_path / "source" / path

    caplog.set_level("DEBUG")
    with host(answer) as server:
        features = [item(TILE, date) for date in dates]
        for number, feature in enumerate(features):
            query = QUERIES[number % len(QUERIES)]
            for asset in feature["assets"].values():
                asset["href"] = f"{server.url}/{asset['href'].removeprefix('./')}?{query}".partition("#")[0]
        features[-1]["assets"]["red"]["href"] = f"https://user:{SECRET}@h.org/a.tif"
        features[-2]["assets"]["red"]["href"] = f"https://h.org/a.tif?sig={SECRET}#{SECRET}"
        (tmp_path / "source" / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        path = write_config(
            tmp_path / "run.toml", client, BOX, "2021-01-01/2022-12-31",
            items=f"{server.url}/items.json?sig={SECRET}", source={"allow_hosts": ["127.0.0.1"]},
            run={"attempts": 1, "fault_threshold": 1.0},
        )  # fmt: skip
        for command in (["plan"], ["plan", "--json"], ["run", "-vv"], ["status", "--json"], ["verify"]):
            assert cli.main([command[0], str(path), *command[1:]]) in (0, 1), command
    told = capfd.readouterr()
    assert SECRET not in told.out
    assert SECRET not in told.err
    assert SECRET not in "\n".join(r.getMessage() for r in caplog.records if r.name.startswith("groundbreak"))
    assert (tmp_path / "out/faults.parquet").exists()
    for file in (tmp_path / "out").rglob("*"):
        if file.is_file():
            assert SECRET.encode() not in _unpacked(file), file


def _unpacked(file: Path) -> bytes:
    """Return the bytes of a file, and all values of a Parquet file, which are packed."""
    if file.suffix != ".parquet":
        return file.read_bytes()
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    return f"{table.to_pylist()} {table.schema.metadata}".encode()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_a_catalogue_that_repeats_what_it_was_sent(status: int) -> None:
    def answer(_asked: Asked) -> Reply:
        return status, {}, ECHO.encode() + b"x" * 1_000_000

    with host(answer) as server:
        dates, hosts = "2024-07-01/2024-07-31", ("127.0.0.1",)
        for source in (
            SourceConfig(datetime=dates, allow_hosts=hosts, items=f"{server.url}/i.json?sig={SECRET}"),
            SourceConfig(datetime=dates, allow_hosts=hosts, catalog=server.url, collection="c"),
        ):
            with pytest.raises(BadInput) as caught:
                list(read_items(source, AREA, lambda name: name, 1.0))
            assert SECRET not in str(caught.value)
            assert len(str(caught.value)) < 5000


@pytest.mark.parametrize(
    "text",
    [
        ECHO,
        f"Error performing GET x - Server returned non-2xx status code: 403 Forbidden: {SECRET}\n\n{SECRET}",
        f"Authorization: AWS4-HMAC-SHA256 Credential={SECRET}/2024, SignedHeaders=host, Signature={SECRET}",
        f'{{"headers": {{"Authorization": "Basic {SECRET}"}}, "url": "https://u:{SECRET}@h.org/a?sig={SECRET}"}}',
        f"X-Amz-Security-Token={SECRET}&x=1 api_key='{SECRET}' password = {SECRET}",
        f"Set-Cookie: session={SECRET}; Path=/",
    ],
)
def test_secrets_by_name(text: str) -> None:
    shown = redact(text)
    assert SECRET not in shown
    assert redact(shown) == shown


def test_the_name_of_an_error_stays() -> None:
    said = "GenericError: Error performing GET - Server returned non-2xx status code: 403 Forbidden: "
    assert redact(said + ECHO).endswith("403 Forbidden: SignatureDoesNotMatch")
    assert redact(said + "<html>") == said.removesuffix(": ")


@pytest.mark.parametrize(
    "piece",
    ["a", "://", "?", "@", "https://a@", "sig=", "authorization:", "://#", "<Token>", "set-", "a? ", "cookie='"],
)
def test_long_texts_take_linear_time(piece: str) -> None:
    """Sixteen times as much text takes no hundred times as long; where it was quadratic, it took 256 times."""

    def seconds(call: Any, length: int) -> float:
        text = (piece * (length // len(piece) + 1))[:length]
        laps = []
        for _ in range(3):
            start = time.process_time()
            call(text)
            laps.append(time.process_time() - start)
        return min(laps)

    for call in (redact, bare):
        assert seconds(call, 96_000) < 100 * max(seconds(call, 6_000), 1e-4)
