"""Where the pixels of each scene lie: as its files say, and as its item says where they do not.

Metadata is often left behind when files are replaced, or was never right. So a file's own header decides, an item that
contradicts it is told by name, and an item whose file does not reach where the item says is not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from shapely.geometry.base import BaseGeometry

from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.access.retries import ReadError
from groundbreak.pipeline.core import crs
from groundbreak.pipeline.core.frame import Frame
from groundbreak.pipeline.core.types import Asset, Notice, Rejection, Scene
from groundbreak.pipeline.readers.cog import NotByBlocks
from groundbreak.pipeline.readers.gdal import read_info
from groundbreak.pipeline.readers.geokeys import NO_CODE
from groundbreak.pipeline.readers.headers import HeaderKey, Headers, header_key


@dataclass
class FramedScenes:
    """Scenes whose assets all have their frames."""

    scenes: list[Scene] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    """Items of which it is not known where their pixels lie, or whose files lie elsewhere."""
    notices: list[Notice] = field(default_factory=list)
    """Items that contradict their files."""


@dataclass(frozen=True)
class FrameReader:
    """What is needed to find out where an asset's pixels lie."""

    bands: tuple[str, ...]
    """The bands whose assets are looked at."""
    access: Access
    known: Headers
    """The headers that are known."""
    unread: Mapping[HeaderKey, str]
    """Key of a header -> why it could not be read."""
    ground: Mapping[tuple[str, str], BaseGeometry]
    """(collection, id) of an item -> the ground that it covers, lon/lat."""

    def frame(self, scene: Scene, band: str) -> tuple[Frame, bool]:
        """Find out where an asset's pixels lie.

        Returns
        -------
        frame : Frame
        sure : bool, whether the file itself says so

        Raises
        ------
        ReadError
            Neither the file nor the item says it.
        """
        asset = scene.assets[band]
        key = header_key(asset, scene)
        header = self.known.get(key)
        if header is not None and header.frame is not None:
            return header.frame, True
        if asset.frame is not None and header != NotByBlocks(NO_CODE):
            return asset.frame, False
        if key in self.unread:
            raise ReadError(f"it tells no frame, and its header cannot be read: {self.unread[key]}", 0)
        return read_info(asset, self.access).frame, True


def frame_scenes(scenes: Sequence[Scene], area: BaseGeometry, reader: FrameReader) -> FramedScenes:
    """Give each asset of some scenes its frame.

    Parameters
    ----------
    scenes : sequence of Scene
    area : Polygon or MultiPolygon
        The area of interest, lon/lat.
    reader : FrameReader

    Returns
    -------
    FramedScenes
    """
    out = FramedScenes()
    unsure = []
    for scene in scenes:
        assets: dict[str, Asset] = dict(scene.assets)
        all_sure = True
        try:
            for band in reader.bands:
                frame, sure = reader.frame(scene, band)
                told = assets[band].frame
                if sure and told is not None and not told.same(frame):
                    out.notices.append(_contradiction(scene, band, told, frame))
                assets[band] = replace(assets[band], frame=frame)
                all_sure &= sure
        except ReadError as error:
            out.rejections.append(Rejection(scene.id, "frame_unknown", f"{band}: {error.message}"))
            continue
        framed = replace(scene, assets=assets)
        if (elsewhere := _elsewhere(framed, reader, area)) is not None:
            out.rejections.append(elsewhere)
            continue
        if not all_sure:
            unsure.append(len(out.scenes))
        out.scenes.append(framed)
    if unsure:
        _look_at_odd_ones(unsure, out, reader)
    return out


def _look_at_odd_ones(unsure: Sequence[int], out: FramedScenes, reader: FrameReader) -> None:
    """Open the files whose headers are not read for planning (JPEG 2000), where their items differ from the others.

    ``unsure`` are the positions of such scenes in ``out.scenes``.
    """
    usual: dict[tuple[str, str], list[tuple[Frame, int]]] = {}
    for scene in out.scenes:
        for band in reader.bands:
            frames = usual.setdefault((scene.tile, band), [])
            frame = frame_of(scene, band)
            at = next((i for i, (f, _) in enumerate(frames) if f.same(frame)), None)
            if at is None:
                frames.append((frame, 1))
            else:
                frames[at] = frames[at][0], frames[at][1] + 1
    for position in unsure:
        scene = out.scenes[position]
        assets = dict(scene.assets)
        for band in reader.bands:
            told = frame_of(scene, band)
            most = max(usual[scene.tile, band], key=lambda entry: entry[1])[0]
            if told.same(most) or header_key(assets[band], scene) in reader.unread:
                continue
            try:
                own = read_info(assets[band], reader.access).frame
            except ReadError:
                continue  # the task that reads it will say so
            if not own.same(told):
                out.notices.append(_contradiction(scene, band, told, own))
                assets[band] = replace(assets[band], frame=own)
        out.scenes[position] = replace(scene, assets=assets)


def frame_of(scene: Scene, band: str) -> Frame:
    """Return the frame of a scene's asset, which is known."""
    frame = scene.assets[band].frame
    assert frame is not None
    return frame


def finest(scene: Scene, bands: Sequence[str]) -> Frame:
    """Return the frame of the asset with the finest pixels, the first of equals."""
    return min((frame_of(scene, band) for band in bands), key=lambda frame: frame.resolution)


def _contradiction(scene: Scene, band: str, told: Frame, own: Frame) -> Notice:
    """Return the notice that an item contradicts its file."""
    return Notice(
        scene.id, "frame_contradicts_file", f"{band}: the item says {told}; the file says {own}, which counts"
    )


def _elsewhere(scene: Scene, reader: FrameReader, area: BaseGeometry) -> Rejection | None:
    """Return why a scene is not used whose rasters reach nothing of the ground that its item covers in the area."""
    told, wanted = reader.ground[scene.collection, scene.id], None
    seen = set()  # most bands lie on the same ground, which is then looked at once
    for band in reader.bands:
        frame = frame_of(scene, band)
        if (place := (frame.epsg, frame.bounds)) in seen:
            continue
        seen.add(place)
        ground = crs.ground(frame)
        if ground.contains(told):
            continue
        wanted = area.intersection(told) if wanted is None else wanted
        if not ground.intersects(wanted):
            own, said = (", ".join(f"{x:.4f}" for x in shape.bounds) for shape in (ground, told))
            detail = f"{band}: its raster lies in EPSG:{frame.epsg} at lon/lat {own}; its item says {said}"
            return Rejection(scene.id, "raster_elsewhere", detail)
    return None
