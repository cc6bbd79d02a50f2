"""The version of what plugins are written against: the interfaces, the values they pass, and the hooks.

A change that may break a plugin raises the first number, an addition the second; each has its entry in
`CHANGES`. A plugin names the versions it was written for in its registry.toml:

    [lasar]
    api = ">=2,<3"
"""

from __future__ import annotations

API = "2.0"

CHANGES = {
    "1.0": "the first",
    "2.0": "modules moved (lasar_kit.engine is gone); configs of backbones, quantizers, latent loops, depth "
    "policies, RL objectives and teachers derive from their kind's base in lasar_kit.spec; a depth policy is "
    "given a Prompt, a reward a Judged, an RL objective says reads_answers; an item table has "
    "a column features; see docs/plugins-from-1.md",
}
"""Changes of each version, oldest first."""


def mismatch(wanted: str) -> str | None:
    """Why a plugin written for some versions cannot be used here; None if it can.

    `wanted` reads as versions do for pip. Tells what has changed since the last one that it accepts.
    """
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import Version

    try:
        accepted = SpecifierSet(wanted)
    except InvalidSpecifier:
        return f"[lasar] api must read like '>=2,<3' (got {wanted!r})"
    if API in accepted:
        return None
    text = f"written for API {wanted}, but this lasar-kit has {API}"
    known = list(CHANGES)
    fitting = [place for place, version in enumerate(known) if version in accepted]
    least = [
        Version(part.version.removesuffix(".*"))
        for part in accepted
        if part.operator not in ("<", "<=", "!=")
    ]
    if not fitting and any(version > Version(API) for version in least):
        return f"{text}; it needs a later lasar-kit"
    since = known[fitting[-1] + 1 :] if fitting else known
    return f"{text}; changed since: " + "; ".join(f"{version}: {CHANGES[version]}" for version in since)
