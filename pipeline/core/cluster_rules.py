"""The rules of ``[cluster]``: what a kind of cluster takes, by the table of kinds and by the library that it needs."""

from __future__ import annotations

import difflib
import re

from groundbreak.cluster.kinds import KINDS, Kind
from groundbreak.cluster.policy import LEAST_MEMORY, memory_bytes, seconds
from groundbreak.pipeline.core.mistakes import Mistakes
from groundbreak.pipeline.core.sections import ClusterConfig

MOST_WORKERS = 4096
"""More workers than that are a slip."""


def check_cluster(cluster: ClusterConfig, mistakes: Mistakes) -> None:
    """Check where tasks run."""
    _check_workers(cluster.workers, mistakes)
    _check_memory(cluster.memory, mistakes)
    for name in ("lifetime", "patience"):
        _check_time(name, getattr(cluster, name), mistakes)
    if cluster.kind not in KINDS:
        mistakes.need(False, f"[cluster] kind = {cluster.kind!r}", f"must be one of {sorted(KINDS)}")
        return
    kind = KINDS[cluster.kind]
    for name in kind.needs:
        mistakes.need(name in cluster.asked, f"[cluster] {name}", f"kind = {cluster.kind!r} needs it")
    for name in cluster.asked:
        mistakes.need(name in kind.takes, f"[cluster] {name}", f"kind = {cluster.kind!r} does not take it")
    if isinstance(cluster.workers, tuple) and not kind.ranged:
        what, rule = f"[cluster] workers = {list(cluster.workers)}", f"kind = {cluster.kind!r} takes one number"
        mistakes.need(False, what, rule)
    _check_address(cluster, mistakes)
    _check_options(cluster, kind, mistakes)


def _check_workers(workers: int | tuple[int, ...] | None, mistakes: Mistakes) -> None:
    if isinstance(workers, tuple):
        good = len(workers) == 2 and 0 <= workers[0] <= workers[1] and 1 <= workers[1] <= MOST_WORKERS
        rule = f"must be [least, most], with 0 <= least <= most and 1 <= most <= {MOST_WORKERS}"
        mistakes.need(good, f"[cluster] workers = {list(workers)}", rule)
    elif workers is not None:
        rule = f"must be positive, and at most {MOST_WORKERS}"
        mistakes.need(1 <= workers <= MOST_WORKERS, f"[cluster] workers = {workers}", rule)


def _check_memory(text: str | None, mistakes: Mistakes) -> None:
    if text is None:
        return
    what, remedy = f"[cluster] memory = {text!r}", 'Write for instance memory = "4GiB"'
    try:
        size = memory_bytes(text)
    except ValueError:
        mistakes.need(False, what, "must be a number of bytes with a unit", remedy)
        return
    rule = f"is too little: a worker needs at least {LEAST_MEMORY / 2**20:.0f} MiB"
    mistakes.need(size >= LEAST_MEMORY, what, rule, remedy)


def _check_time(name: str, text: str | None, mistakes: Mistakes) -> None:
    if text is None:
        return
    try:
        good = seconds(text) > 0
    except ValueError:
        good = False
    rule, remedy = "must be a time with a unit, above zero", f'Write for instance {name} = "50 minutes"'
    mistakes.need(good, f"[cluster] {name} = {text!r}", rule, remedy)


def _check_address(cluster: ClusterConfig, mistakes: Mistakes) -> None:
    if cluster.address is not None:
        served = cluster.kind == "gateway"
        good = re.fullmatch(r"https?://.+" if served else r"[a-z+]+://.+", cluster.address) is not None
        rule = "must be the URL of a gateway" if served else "must be the address of a scheduler"
        remedy = "https://gateway.example.org" if served else "tcp://10.0.0.1:8786"
        what = f"[cluster] address = {cluster.address!r}"
        mistakes.need(good, what, rule, f'Write for instance "{remedy}"')
    named = {name for name in ("tls_ca_file", "tls_cert", "tls_key") if getattr(cluster, name) is not None}
    if named:
        rule = "certificates are of no use without [cluster] tls_ca_file and tls_cert"
        mistakes.need({"tls_ca_file", "tls_cert"} <= named, f"[cluster] {', '.join(sorted(named))}", rule)
        good = cluster.address is None or cluster.address.startswith("tls://")
        rule = "certificates are for a scheduler that speaks TLS"
        remedy = 'Write "tls://...", and start the scheduler with --protocol tls'
        mistakes.need(good, f"[cluster] address = {cluster.address!r}", rule, remedy)


def _check_options(cluster: ClusterConfig, kind: Kind, mistakes: Mistakes) -> None:
    """Check the names of the options against what the library takes, if it is there."""
    for name in kind.needs_options:
        mistakes.need(name in cluster.options, f"[cluster.options] {name}", f"kind = {cluster.kind!r} needs it")
    if not kind.installed:
        rule = f"needs the package {str(kind.module).replace('_', '-')}, which is not installed"
        remedy = f'Install it: pip install "groundbreak[{kind.extra}]"'
        mistakes.need(False, f"[cluster] kind = {cluster.kind!r}", rule, remedy)
        return
    if kind.options is None:
        return
    known = kind.options() if cluster.options else frozenset()
    for name in cluster.options:
        label = f"[cluster.options] {name}"
        if name in kind.ours:
            mistakes.need(False, label, f"is not yours to set: {kind.ours[name]}", "Remove it")
        elif name not in known:
            near = difflib.get_close_matches(name, known, 1)
            rule = f"kind = {cluster.kind!r} has no such option; it has {', '.join(sorted(known)) or 'none'}"
            mistakes.need(False, label, rule, f"Did you mean {near[0]!r}?" if near else "Remove it")
