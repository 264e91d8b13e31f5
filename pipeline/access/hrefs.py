"""The policy of hrefs: which of them may be read, and what of them may be shown.

`check` is literal: it looks at the text of an href before anything is planned, and asks no name server. What a name
resolves to is looked at by `check_addresses` when a connection is made (`pipeline.access.connections`), at the first
host and at each one that a server leads to. Where a proxy makes the connections, that is left to the proxy.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from groundbreak.pipeline.core.show import clean

OBJECT_STORES = {"s3": "/vsis3/", "gs": "/vsigs/", "az": "/vsiaz/"}
"""Scheme of an object store -> prefix of GDAL's virtual file system for it."""

MOST_CHARACTERS = 8000
"""Characters of an href: servers take no longer ones, and systems no longer paths."""
MOST_REDACTED = 100_000
"""Characters of a text that are kept when it is redacted."""

_PRIVATE_NAMES = ("localhost", "local", "internal", "lan", "home.arpa", "intranet", "corp")
"""Last labels of names that mean this machine or this site, whatever they resolve to."""
_EMBEDDING = [ipaddress.ip_network(n) for n in ("64:ff9b::/96", "2002::/16", "2001::/32")]
"""IPv6 ranges that carry an IPv4 address (NAT64, 6to4, Teredo): an address in them can mean a private host."""
_USER = re.compile(r"""://[^\s"<>/?#]*@""")
_QUERY = re.compile(r"""(?<=\S)\?[^\s"<>]+""")
_URL = re.compile(r"""://[^\s"<>]*""")
"""Parts of a URL. None of them can begin inside another match of its kind, so that each takes linear time."""
_BODY = re.compile(r"(non-2xx status code: \d{3}[^:\n]{0,60}):.*", re.S)
"""An error of obstore, and the body of the answer behind it."""
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
"""What object stores call an error in the body of an answer."""
_HEADER = re.compile(r"""\b((?:proxy-)?authorization|(?:set-)?cookie)(["']?\s?[:=])[^\n]*""", re.I)
_NAMED = re.compile(
    r"""((?:signature|\bsig|token|credential|accesskeyid|api_?key|password|secret)(?:provided)?["']?"""
    r"""\s?(?:=|:\s?["'])\s?["']?)"""
    r"""[^\s"'<>&,;)]+|(<(?:\w*signature\w*|\w*accesskeyid|stringtosign\w*|\w*token)>)[^<]+""",
    re.I,
)
"""What holds a secret outside a URL: a header, a parameter, a field of JSON or of XML."""


def is_url(href: str) -> bool:
    """Tell whether an href is a URL, having a scheme, and not a path."""
    return re.match(r"[a-z][a-z0-9+.-]*:", href, re.I) is not None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing may be read from an href; as a text it is put behind the href in a sentence."""

    rule: str
    """The rule that the href breaks."""
    remedy: str
    """What can be done about it."""

    def __str__(self) -> str:
        """Return rule and remedy as one text."""
        return f"{self.rule}; {self.remedy}"


def check(href: str, *, root: str | None, allow_hosts: Collection[str]) -> Refusal | None:
    """Check an absolute href against the policy.

    Parameters
    ----------
    href : str
        Absolute URL or path, as `pipeline.access.addresses.resolve` makes it.
    root : str or None
        Folder of the local catalogue that holds the href, under which local paths must lie; None for a remote
        catalogue, which may name no local path.
    allow_hosts : collection of str
        Hosts that the configuration allows by name, though they are private. Plain http is allowed for these alone.

    Returns
    -------
    Refusal, or None where the href may be read.
    """
    blank = r"\x20" if is_url(href) else ""
    if re.search(rf"[\x00-\x1f\x7f\ud800-\udfff\\{blank}]", href):
        return Refusal("holds a control character, blank or backslash", "write / between folders, and %20 for a blank")
    if len(href) > MOST_CHARACTERS:
        return Refusal(f"has {len(href):,} characters", f"a URL or path has at most {MOST_CHARACTERS:,}")
    if not is_url(href):
        return _check_path(href, root)
    try:
        parts = urlsplit(href)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return Refusal("is no well-formed URL", "mend it")
    scheme = parts.scheme.lower()
    if scheme in OBJECT_STORES:
        return _check_object(href, parts.netloc)
    if scheme not in ("http", "https"):
        return _check_scheme(href, scheme)
    if "@" in parts.netloc:
        return Refusal("carries a user name or password", "take it out, and write it into ~/.netrc")
    if "#" in href:
        return Refusal("has a fragment, which no server sees", "write %23 for a # in a name")
    refused = _check_host(host, allow_hosts)
    if refused is None and scheme == "http" and not _named(host, allow_hosts):
        return Refusal(f"is plain http to {host}, which [source] allow_hosts does not name", "name it there")
    return refused


def _check_object(href: str, bucket: str) -> Refusal | None:
    """Return why an object of a store may not be read, or None where it may."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", bucket):
        return Refusal(f"names no plain bucket ({bucket.rpartition('@')[2]!r})", "write scheme://bucket/key")
    if re.search(r"[?#]", href):
        return Refusal("has a query or fragment, and an object has a key alone", "write %3F for a ?, and %23 for a #")
    return None


def _check_scheme(href: str, scheme: str) -> Refusal:
    """Return why an href of an unknown scheme may not be read, and what its writer may have meant."""
    relative = "write hrefs relative to the list of items"
    if re.match(r"file:/*[a-z]:|[a-z]:/", href, re.I):
        return Refusal("is a path of Windows", relative)
    if scheme == "file":
        return Refusal("is a file:// URL that leads to another machine or to no absolute path", relative)
    rule = f"has scheme {scheme!r}; allowed are https, s3, gs and az"
    remedy = "bring the files to one of these, or to this machine"
    return Refusal(rule, remedy if "://" in href else f"{remedy}; if it is a name with a colon in it, write ./{href}")


def _check_path(path: str, root: str | None) -> Refusal | None:
    """Return why a local path may not be read, or None where it may."""
    if root is None:
        rule = "is a local path, which a remote catalogue may not name"
        return Refusal(rule, "save the list of items beside its files, and name that as [source] items")
    if path.startswith("/vsi"):
        return Refusal("is a GDAL virtual path", "write the URL or the path of the file itself")
    top = os.path.realpath(root)
    if os.path.commonpath((os.path.realpath(path), top)) != top:
        return Refusal("lies outside the catalogue's folder", "move the list of items to a folder that holds its files")
    return None


def _named(host: str, allow_hosts: Collection[str]) -> bool:
    """Tell whether a host is allowed by name."""
    return host.strip("[]").rstrip(".").lower() in {h.strip("[]").rstrip(".").lower() for h in allow_hosts}


def _check_host(host: str, allow_hosts: Collection[str]) -> Refusal | None:
    """Return why nothing may be read from a host, or None where it may."""
    name = host.rstrip(".").lower()
    remedy = "[source] allow_hosts can name it"
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        public = _is_public(address) or _named(name, allow_hosts)
        return None if public else Refusal(f"is at {name}, not a public host", remedy)
    if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", name):
        return Refusal("has a host that is no plain name", "write it in plain letters (a name in xn-- form is one)")
    if re.fullmatch(r"\d+|0x[0-9a-f]*", name.rpartition(".")[2]):
        # 2130706433, 0x7f.1 and 0177.0.0.1 are all 127.0.0.1 to a C library.
        return Refusal(f"spells an address unusually ({name})", "write four plain numbers")
    private = "." not in name or any(name.endswith("." + n) for n in _PRIVATE_NAMES)
    return Refusal(f"is at {name}, a private name", remedy) if private and not _named(name, allow_hosts) else None


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Tell whether an address is one of the public Internet."""
    carrier = any(address in network for network in _EMBEDDING if network.version == address.version)
    mapped = getattr(address, "ipv4_mapped", None) is not None
    return address.is_global and not (address.is_multicast or carrier or mapped)


def check_addresses(host: str, addresses: Collection[str], allow_hosts: Collection[str]) -> Refusal | None:
    """Check what a host's name resolves to.

    Parameters
    ----------
    host : str
        The name, or an address.
    addresses : collection of str
        The addresses that it resolves to.
    allow_hosts : collection of str
        Hosts that the configuration allows by name, whatever they resolve to.

    Returns
    -------
    Refusal, or None where all of the addresses are public or the host is allowed by name.
    """
    if _named(host, allow_hosts):
        return None
    private = [text for text in addresses if not _is_public(ipaddress.ip_address(text.partition("%")[0]))]
    if not private:
        return None
    return Refusal(f"is at {host}, which is {private[0]}, not a public host", "[source] allow_hosts can name it")


def redact(text: str) -> str:
    """Remove what may be secret from a text, and what cannot be shown; the time that it takes is linear in its length.

    These are the queries, fragments and user names of all URLs, since they may hold signatures; secrets by their names;
    and the bodies of error answers, which repeat what was sent: of these only the name of the error stays. A query is
    removed even where its URL is cut down to a path, as in the messages of urllib3. A single quote does not end a
    query, since it may stand inside one.
    """
    text = bare(_BODY.sub(_without_body, clean(text, MOST_REDACTED)))
    return _NAMED.sub(lambda found: f"{found[1] or found[2]}...", _HEADER.sub(r"\1\2 ...", text))


def bare(text: str) -> str:
    """Remove the queries, fragments and user names of all URLs in a text, and nothing else."""
    return _URL.sub(lambda url: url[0].partition("#")[0], _QUERY.sub("", _USER.sub("://", text)))


def _without_body(found: re.Match[str]) -> str:
    """Return an error of obstore without the body of the answer; the name of the error stays where it tells one."""
    code = _CODE.search(found[0])
    return f"{found[1]}: {code[1]}" if code else found[1]
