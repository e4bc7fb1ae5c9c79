"""bom.cdx.json: what a publication is made of, as a machine-learning bill of materials.

The format is CycloneDX 1.6 (ECMA-424), written by cyclonedx-python-lib. What that library has no
classes for, the model card (`modelCard` of the specification's component), is laid into its JSON.
Nothing in it says when or where it was made: the same publication gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from hubkit.cards.layout import published_variants
from hubkit.keys import digest_of_value
from hubkit.provenance.bom_card import model_card
from hubkit.recipe import Publication, Recipe
from hubkit.records import Lock, Record, Report, Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cyclonedx.model.component import Component
    from cyclonedx.model.license import DisjunctiveLicense
    from packageurl import PackageURL

BOM = "bom.cdx.json"
MODEL, BASE, DATASET = "model", "base", "dataset"  # bom-refs
RENDERER = "hubkit:renderer"
RECIPE = "hubkit:recipe_digest"
_PUBLIC = "https://"


class BomInput(Record):
    """What a bill of materials is made from. `files`: path -> SHA-256 of the repository's files
    but for itself; `renderer`: the digest of what made the cards."""

    repo_id: str
    recipe: Recipe
    lock: Lock
    report: Report
    files: dict[str, str]
    renderer: str


def bom_json(given: BomInput) -> str:
    """The text of bom.cdx.json, ending in a line break; its serial number follows from the rest."""
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.output.json import JsonV1Dot6

    model, base, dataset = _model(given), _source(given.lock.base), _source(given.lock.dataset)
    tools = _tools(given.lock)
    bom = Bom(
        metadata=BomMetaData(component=model),
        components=[base, dataset, *tools, *_files(given.files)],
        serial_number=uuid5(NAMESPACE_URL, "hubkit"),  # of a constant until the rest is known
    )
    bom.register_dependency(model, [base, dataset, *tools])
    value = json.loads(JsonV1Dot6(bom).output_as_string())
    value["metadata"]["component"]["modelCard"] = model_card(given.recipe, given.report, DATASET)
    # The library stamps what it makes with the time and a random number.
    del value["metadata"]["timestamp"], value["serialNumber"]
    value["serialNumber"] = uuid5(NAMESPACE_URL, digest_of_value(value)).urn
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _done_to(lock: Lock) -> str:
    """What was done to the base before it was quantized, each with a comma after it."""
    built = lock.built
    steps = (
        ("pruned", built and built.pruned),
        ("fine-tuned", built and built.finetuned),
        ("projected", built and built.projected),
    )
    return "".join(f"{said}, " for said, done in steps if done)


def _made_into(given: BomInput) -> str:
    """What was made of it: the precisions of what is published."""
    found = {v.precision for v in published_variants(given.recipe, given.report).values()}
    if found == {"fp16"}:
        return "converted to FP16"
    return "quantized to INT8, and converted to FP16" if "fp16" in found else "quantized to INT8"


def _model(given: BomInput) -> Component:
    from cyclonedx.model import ExternalReference, ExternalReferenceType, Property, XsUri
    from cyclonedx.model.component import Component, ComponentType

    owner, _, name = given.repo_id.rpartition("/")
    public = (given.lock.base.url or "").startswith(_PUBLIC)
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=MODEL,
        group=owner or None,
        name=name,
        description=f"{given.lock.base.id}, {_done_to(given.lock)}{_made_into(given)}",
        licenses=_licenses(given.recipe.publication),
        # Where the base model is only on an embedded Hub, so is what was made of it.
        purl=_hub_purl(given.repo_id) if public else None,
        external_references=[
            ExternalReference(type=ExternalReferenceType.MODEL_CARD, url=XsUri("README.md")),
            ExternalReference(
                type=ExternalReferenceType.QUALITY_METRICS, url=XsUri("results.json")
            ),
        ],
        properties=[
            Property(name=RECIPE, value=given.lock.recipe_digest),
            Property(name=RENDERER, value=given.renderer),
        ],
    )


def _source(source: Source) -> Component:
    from cyclonedx.model import ExternalReference, ExternalReferenceType, Property, XsUri
    from cyclonedx.model.component import Component, ComponentType

    owner, _, name = source.id.rpartition("/")
    is_model, url = source.kind == "model", source.url or ""
    references = [ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(url))]
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL if is_model else ComponentType.DATA,
        bom_ref=BASE if is_model else DATASET,
        group=owner or None,
        name=name,
        version=source.sha,
        description=source.origin,
        licenses=_named_licence(source.license),
        purl=_hub_purl(source.id, source.sha) if is_model and url.startswith(_PUBLIC) else None,
        external_references=references if url.startswith(_PUBLIC) else [],
        properties=[
            Property(name="hubkit:source", value=source.source),
            Property(name="hubkit:revision", value=source.revision),
        ],
    )


def _tools(lock: Lock) -> list[Component]:
    from cyclonedx.model.component import Component, ComponentScope, ComponentType
    from packageurl import PackageURL

    def tool(name: str, version: str, kind: ComponentType, packages: str) -> Component:
        return Component(
            type=kind,
            bom_ref=f"tool:{name}",
            name=name,
            version=version,
            scope=ComponentScope.EXCLUDED,  # it made the model, and is not in it
            purl=PackageURL(type=packages, name=name, version=version),
        )

    libraries = (
        tool(name, version, ComponentType.LIBRARY, "pypi") for name, version in lock.tools.items()
    )
    return [*libraries, tool("python", lock.python, ComponentType.PLATFORM, "generic")]


def _files(files: Mapping[str, str]) -> Iterable[Component]:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    for path, sha in files.items():
        yield Component(
            type=ComponentType.FILE,
            bom_ref=f"file:{path}",
            name=path,
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha)],
        )


def _hub_purl(repo_id: str, version: str | None = None) -> PackageURL:
    """The Hub's package URL: pkg:huggingface/owner/name@commit (purl-spec, types)."""
    from packageurl import PackageURL

    owner, _, name = repo_id.rpartition("/")
    return PackageURL(type="huggingface", namespace=owner or None, name=name, version=version)


def _licenses(publication: Publication) -> list[DisjunctiveLicense]:
    from cyclonedx.model import XsUri
    from cyclonedx.model.license import DisjunctiveLicense

    if publication.license != "other" or not publication.license_name:
        return _named_licence(publication.license)
    link = XsUri(publication.license_link) if publication.license_link else None
    return [DisjunctiveLicense(name=publication.license_name, url=link)]


def _named_licence(licence: str | None) -> list[DisjunctiveLicense]:
    """A licence by the Hub's name: by its SPDX id where that is one, which the Hub writes small."""
    from cyclonedx.model.license import DisjunctiveLicense
    from cyclonedx.spdx import fixup_id

    if licence in (None, "", "unknown", "other"):
        return []
    known = fixup_id(str(licence))
    return [DisjunctiveLicense(id=known) if known else DisjunctiveLicense(name=licence)]
