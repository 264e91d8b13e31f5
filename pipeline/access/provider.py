"""What one provider's items mean: its bands, its mask, its scale and offset, and how its files are reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from groundbreak.pipeline.access.logins import Trust
from groundbreak.pipeline.access.offset_rules import OffsetRule
from groundbreak.pipeline.access.remote import Access
from groundbreak.pipeline.core.sections import MaskConfig, RunConfig, SourceConfig
from groundbreak.pipeline.core.types import BadInput, Mask


@dataclass(frozen=True, slots=True)
class Provider:
    """What one provider's items mean."""

    name: str
    """Name of the provider, as reports show it."""
    collections: tuple[str, ...]
    """Ids of its collections; empty where ``platform`` alone decides."""
    keys: tuple[str, ...]
    """Keys of assets that all of its items have."""
    bands: Mapping[str, tuple[str, ...]]
    """Canonical band name -> keys of the assets that hold the band, the best first."""
    mask: Mask
    """The mask of its items; of a configured one type and nodata are settled by ``mask_rule``."""
    offset: OffsetRule
    """What decides the offset of an asset; where it knows none, the other items of the source do."""
    ids: str = ""
    """A regular expression that its items' ids begin with."""
    marks: tuple[str, ...] = ()
    """What a property's name, or the host or bucket of an asset, may begin with to tell it from others like it."""
    platform: str = ""
    """A text that must stand in the item's platform or constellation, in small letters."""
    scale: float | None = None
    """Scale of an asset that declares none. Where a collection is named, it is that of every asset of it."""
    fixed_scale: float | None = None
    """Scale of every asset, whatever the asset declares."""
    nodata: float | None = None
    """Nodata of an asset that declares none."""
    fixed_nodata: float | None = None
    """Nodata of every asset, whatever the asset declares."""
    lattice: str = "source"
    """source: items lie on fixed tiles; zone: they do not, and are warped onto the zone's UTM lattice."""
    token_url: str | None = None
    """Where signatures are fetched; {collection} stands for the collection's id. None where hrefs need none."""
    s3_endpoint: str | None = None
    """URL of the S3 store that holds its assets; None for Amazon's."""
    s3_region: str | None = None
    """Region of the S3 bucket that holds its assets."""
    requester_pays: str = ""
    """The S3 bucket whose readers pay for the transfer, or ""."""
    alternate: str = ""
    """Key of the assets' alternate hrefs that are read where the configuration says that whoever reads pays."""
    mask_rule: MaskConfig | None = None
    """The configured rule of the mask: type and nodata follow from the files; None where the table knows the mask."""

    def access(self, source: SourceConfig, run: RunConfig) -> Access:
        """Return how this provider's assets are reached; what the configuration says comes first.

        Parameters
        ----------
        source : SourceConfig
            The section [source] of the configuration.
        run : RunConfig
            The section [run]: how long, and how often, what cannot be read is tried.

        Raises
        ------
        BadInput
            Whoever reads has to pay, and the configuration does not agree to that.
        """
        if self.requester_pays and not source.requester_pays:
            rule = f"must be true: s3://{self.requester_pays} bills whoever reads for the transfer"
            remedy = "Set it, and give AWS keys in the environment; or read the items of another catalogue"
            raise BadInput("[source] requester_pays", rule, remedy)
        collection = source.collection or next(iter(self.collections), "")
        return Access(
            s3_endpoint=source.s3_endpoint or self.s3_endpoint,
            s3_region=source.s3_region or (None if source.s3_endpoint else self.s3_region),
            requester_pays=source.requester_pays,
            token_url=self.token_url and self.token_url.replace("{collection}", collection),
            attempts=run.attempts,
            patience=run.patience,
            deadline=run.deadline,
            trust=Trust(source.login_hosts, source.allow_hosts),
        )
