"""Items as the real archives write them, made small; and servers on loopback that hand them out."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import shapely

from tests.world import SIDES, feature

ESA = {"red": "B04", "nir": "B08", "swir16": "B11", "scl": "SCL"}
BOX = (-106.0, 39.0, -105.0, 39.7)
AREA = shapely.box(-105.6, 39.2, -105.5, 39.3)


def pc_item(
    *,
    take: str = "20240711T173911",
    tile: str = "13SDD",
    baseline: str = "05.10",
    strip: str = "20240711T174608",
    made: str = "2024-07-12T02:51:03Z",
    nodata: float = 0.0,
    box: tuple[float, float, float, float] = BOX,
    host: str = "https://sentinel2l2a01.blob.core.windows.net",
) -> dict[str, Any]:
    """Return a Sentinel-2 item of Planetary Computer: ESA's band names, no raster:bands."""
    stamp = made.translate(str.maketrans("", "", "-:Z"))
    name = f"S2A_MSIL2A_{take}_R098_T{tile}_{stamp}"
    time = f"{take[:4]}-{take[4:6]}-{take[6:11]}:{take[11:13]}:{take[13:]}.024Z"
    return feature(
        name,
        shapely.box(*box),
        properties={
            "datetime": time,
            "platform": "Sentinel-2A",
            "constellation": "Sentinel 2",
            "proj:epsg": 32613,
            "s2:mgrs_tile": tile,
            "s2:datatake_id": f"GS2A_{take}_047285_N{baseline}",
            "s2:datastrip_id": f"S2A_OPER_MSI_L2A_DS_MSFT_{stamp}_S{strip}_N{baseline}",
            "s2:processing_baseline": baseline,
            "s2:generation_time": made,
            "s2:nodata_pixel_percentage": nodata,
        },
        assets={
            key: {
                "href": f"{host}/sentinel2-l2/{name}/{key}_{SIDES[band]}m.tif",
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "proj:shape": [109800 // SIDES[band]] * 2,
                "proj:transform": [SIDES[band], 0, 399960, 0, -SIDES[band], 4400040],
            }
            for band, key in ESA.items()
        },
    )


def earth_search_item(
    *, offset: float | None, applied: bool | None, baseline: str = "05.10", **more: Any
) -> dict[str, Any]:
    """Return a Sentinel-2 item of Earth Search: common band names, raster:bands, and its flag."""
    item = pc_item(baseline=baseline, **more)
    if applied is not None:
        item["properties"]["earthsearch:boa_offset_applied"] = applied
    item["properties"]["earthsearch:s3_path"] = "s3://sentinel-cogs/x"
    item["assets"] = {band: item["assets"][key] for band, key in ESA.items()}
    for band in ("red", "nir", "swir16"):
        declared: dict[str, Any] = {"nodata": 0, "scale": 1e-4}
        if offset is not None:
            declared["offset"] = offset
        item["assets"][band]["raster:bands"] = [declared]
    return item


def collection(*items: dict[str, Any]) -> dict[str, Any]:
    """Return a FeatureCollection of these items."""
    return {"type": "FeatureCollection", "features": list(items)}


@dataclass
class Loopback:
    """A server that answers from a function, and remembers what it was asked."""

    answer: Callable[[str, str, bytes], tuple[int, dict[str, str], bytes]]
    """(method, path, body) -> (status, headers, body)."""
    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)


def reply(document: Any, status: int = 200) -> tuple[int, dict[str, str], bytes]:
    """Return an answer of `serve` that holds a JSON document."""
    return status, {"Content-Type": "application/json"}, json.dumps(document).encode()


@contextlib.contextmanager
def serve(
    answer: Callable[[str, str, bytes], tuple[int, dict[str, str], bytes]],
) -> Iterator[Loopback]:
    """Answer on a free port of 127.0.0.1 until the block ends."""
    loopback = Loopback(answer)

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            loopback.asked.append((self.command, self.path))
            status, headers, content = loopback.answer(self.command, self.path, body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = handle_any  # noqa: N815 - http.server calls them so

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    loopback.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield loopback
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def stac_api(path: Path) -> Iterator[str]:
    """`rustac serve` of a file, on a free port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    program = Path(sys.executable).with_name("rustac")
    if not program.exists():
        pytest.skip("rustac's server is not here")
    command = [str(program), "serve", str(path), "-a", address, "--create-collections", "--use-duckdb", "false"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(400):
                with contextlib.suppress(OSError):
                    requests.get(f"http://{address}", timeout=1).raise_for_status()
                    break
                time.sleep(0.05)
            yield f"http://{address}"
        finally:
            process.kill()
