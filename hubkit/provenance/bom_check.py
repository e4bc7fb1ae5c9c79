"""Whether a bom.cdx.json says the same as lock.json and SHA256SUMS beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hubkit.provenance.bom import BASE, BOM, DATASET, RECIPE, RENDERER
from hubkit.records import Lock, Source

_FILE, _TOOL, _PYTHON = "file:", "tool:", "tool:python"


class _Part(BaseModel):
    """CycloneDX has more than is looked at here."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class _Hash(_Part):
    alg: str
    content: str


class _Property(_Part):
    name: str
    value: str = ""


class _Component(_Part):
    ref: str = Field("", alias="bom-ref")
    name: str
    group: str | None = None
    version: str | None = None
    hashes: tuple[_Hash, ...] = ()
    properties: tuple[_Property, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.group}/{self.name}" if self.group else self.name

    def property(self, name: str) -> str | None:
        return next((one.value for one in self.properties if one.name == name), None)


class _Metadata(_Part):
    component: _Component


class _Bom(_Part):
    format: str = Field(alias="bomFormat")
    metadata: _Metadata
    components: tuple[_Component, ...]


def bom_problems(text: str, lock: Lock, files: Mapping[str, str]) -> tuple[str, ...]:
    """Where the text of a bom.cdx.json and the records beside it disagree, in words.

    `files`: path -> SHA-256 of all files that it must list, and no others.
    """
    try:
        bom = _Bom.model_validate_json(text)
    except ValidationError as error:
        return (f"it is no CycloneDX file of hubkit ({str(error).splitlines()[1].strip()})",)
    if bom.format != "CycloneDX":
        return (f"its format is {bom.format}",)
    return tuple(_problems(bom, lock, files))


def renderer_of(text: str) -> str | None:
    """The digest of what rendered the cards, of the text of a bom.cdx.json; None: it has none."""
    try:
        return _Bom.model_validate_json(text).metadata.component.property(RENDERER)
    except ValidationError:
        return None


def _problems(bom: _Bom, lock: Lock, files: Mapping[str, str]) -> Iterator[str]:
    parts = {one.ref: one for one in bom.components}
    if len(parts) != len(bom.components):
        yield "two components have one bom-ref"
    digest = bom.metadata.component.property(RECIPE)
    if digest != lock.recipe_digest:
        yield f"its recipe is {_cut(digest)}, and that of lock.json {_cut(lock.recipe_digest)}"
    for ref, source in ((BASE, lock.base), (DATASET, lock.dataset)):
        yield from _source(parts.get(ref), ref, source)
    tools = {
        ref.removeprefix(_TOOL): part.version or ""
        for ref, part in parts.items()
        if ref.startswith(_TOOL)
    }
    yield from _differences("tool", tools, {**lock.tools, _PYTHON.removeprefix(_TOOL): lock.python})
    listed = {
        ref.removeprefix(_FILE): next((h.content for h in part.hashes if h.alg == "SHA-256"), "")
        for ref, part in parts.items()
        if ref.startswith(_FILE)
    }
    yield from _differences("file", listed, files)


def _source(part: _Component | None, ref: str, source: Source) -> Iterator[str]:
    if part is None:
        yield f"it has no component {ref}"
    elif (part.id, part.version) != (source.id, source.sha):
        yield (
            f"its {ref} is {part.id} at {_cut(part.version)}, and that of lock.json {source.id} at"
            f" {_cut(source.sha)}"
        )


def _differences(kind: str, ours: Mapping[str, str], theirs: Mapping[str, str]) -> Iterator[str]:
    other = {"tool": "lock.json", "file": "SHA256SUMS"}[kind]
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in ours:
            yield f"{kind} {name} is in {other} and not in {BOM}"
        elif name not in theirs:
            yield f"{kind} {name} is in {BOM} and not in {other}"
        elif ours[name] != theirs[name]:
            yield f"{kind} {name} is {_cut(ours[name])}, and in {other} {_cut(theirs[name])}"


def _cut(text: str | None) -> str:
    return "missing" if not text else text[:12]
