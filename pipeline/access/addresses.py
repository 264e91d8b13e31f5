"""Addresses: how an href becomes the absolute address of one file, and what of it tells that file from others.

An href of STAC is a URI reference, in which %20 means a blank. But people also write names of files as they are. So a
local name is taken literally where such a file exists, and decoded otherwise; in a URL, what may not stand there as it
is (blanks, letters beyond ASCII, brackets) is encoded. Keys of object stores are decoded when they are used.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from urllib.parse import quote, unquote, urljoin

from groundbreak.pipeline.access.hrefs import OBJECT_STORES, bare, is_url

_HTTP = re.compile(r"(https?://[^/?#]*)([^?#]*)(.*)", re.I | re.S)
_FILE = re.compile(r"file:(?://(?:localhost)?)?(/(?!/)(?!/*[a-z]:).*)", re.I | re.S)
_UNSAFE = re.compile(r"[^\x00-\x7f]|[ \"<>`^{}|\[\]]|%(?![0-9a-f]{2})", re.I)
"""What is encoded in a URL. Control characters and backslashes are not: the policy refuses them."""
_UNSAFE_QUERY = re.compile(r"[^\x00-\x7f]|[ \"<>]")

_SECRET = {
    "signature", "sig", "token", "access_token", "id_token", "auth", "authorization", "apikey", "api_key", "api-key",
    "subscription-key", "awsaccesskeyid", "googleaccessid", "key-pair-id", "jwt", "sas",
}  # fmt: skip
"""Names of parameters of a query that are signatures and keys, whatever stands beside them."""
_BESIDE_SIGNATURE = {
    "expires", "policy", "algorithm", "se", "sp", "sv", "st", "sr", "si", "ss", "srt", "sip", "spr", "sdd", "skoid",
    "sktid", "skt", "ske", "sks", "skv", "saoid", "suoid", "scid",
}  # fmt: skip
"""Names that belong to a signature where there is one beside them."""


def resolve(href: str, base: str) -> str:
    """Make an href absolute.

    Parameters
    ----------
    href : str
        URL or path, absolute or relative.
    base : str
        Where the document that holds the href was read from: a URL or an absolute path.

    Returns
    -------
    str: a URL, or an absolute path of this machine. What cannot be made absolute (``file://host/...``) stays as it is,
    and `pipeline.access.hrefs.check` refuses it.
    """
    if href.lower().startswith("file:"):
        match = _FILE.fullmatch(href)
        return _local(match[1], "/") if match else href
    if is_url(href):
        return _encode(href)
    if not is_url(base):
        return _local(href, posixpath.dirname(base))
    scheme, slashes, rest = base.partition("://")
    # urljoin joins only under schemes that it knows, and s3, gs and az are not among them.
    return _encode(scheme + urljoin("http" + slashes + rest, href).removeprefix("http"))


def resolve_beside(href: str, document: str, own: str) -> str:
    """Make an href of a document absolute that may have been moved since it was written.

    A relative href means the file beside the document where there is one. Otherwise it is relative to what the document
    gives as its own address.

    Parameters
    ----------
    href : str
        URL or path, absolute or relative.
    document : str
        Where the document was read from: a URL or an absolute path.
    own : str
        The absolute address that the document gives as its own; equal to ``document`` where it gives none.
    """
    if is_url(document) or own == document or is_url(href):
        return resolve(href, own)
    here = resolve(href, document)
    return here if os.path.lexists(here) else resolve(href, own)


def _local(href: str, folder: str) -> str:
    """Return the path that a relative or absolute reference means in a folder of this machine."""
    names = [href]
    if re.search(r"[%?#]", href):
        names += [unquote(href), unquote(re.split(r"[?#]", href, maxsplit=1)[0])]
    paths = [posixpath.normpath(posixpath.join(folder, name)) for name in names]
    return next((path for path in paths if os.path.lexists(path)), paths[-1])


def _encode(url: str) -> str:
    """Encode what may not stand in a URL over HTTP as it is; any other URL stays as it is."""
    match = _HTTP.fullmatch(url)
    if match is None:
        return url
    host, path, rest = match.groups()
    return host + _UNSAFE.sub(_quoted, path) + _UNSAFE_QUERY.sub(_quoted, rest)


def _quoted(found: re.Match[str]) -> str:
    return quote(found[0], safe="")


def naming_query(href: str) -> list[str]:
    """Return the parameters of an href's query that name what it leads to, sorted; those of a signature are left out.

    Returns
    -------
    list of "name=value", encoded as they were.
    """
    query = href.partition("#")[0].partition("?")[2]
    pairs = [(unquote(pair.partition("=")[0]).lower(), pair) for pair in query.split("&") if pair]
    signed = any(name in ("sig", "signature") for name, _ in pairs)

    def is_secret(name: str) -> bool:
        return name in _SECRET or name.startswith(("x-amz-", "x-goog-")) or (signed and name in _BESIDE_SIGNATURE)

    return sorted(pair for name, pair in pairs if not is_secret(name))


def identity(href: str) -> str:
    """Return what tells an address from all others and may be stored: nothing in it is secret.

    Signatures and keys are left out, since they change from day to day. Of the rest of a query, which names the file at
    some servers (``?file=red.tif``), a digest stands for the text: a key of an unknown name may be in it.
    """
    if not is_url(href) or href.partition(":")[0].lower() in OBJECT_STORES:
        return href
    naming = "&".join(naming_query(href))
    digest = hashlib.sha256(naming.encode()).hexdigest()[:16]
    return bare(href) + (f"?{digest}" if naming else "")
