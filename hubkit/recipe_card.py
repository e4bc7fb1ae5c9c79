"""The part of a recipe that no stage can measure: what its author has to say on the model card.

The sections are those of Mitchell et al. 2019, "Model Cards for Model Reporting"
(arXiv:1810.03993). Text is Markdown. What is left out is shown as "not provided by the author".
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Part(BaseModel):
    """Base of every part of a recipe: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Link(Part):
    """A named resource."""

    title: str = Field(description="Text of the link.")
    url: Annotated[str, Field(pattern=r"^(https?://|/)\S+$")] = Field(
        description="http(s) address, or a path on the Hub that begins with /."
    )


class Details(Part):
    """Who made the model, and where more can be read."""

    title: str | None = Field(None, description="Heading of the card.")
    authors: tuple[str, ...] = Field(
        (), description="Who made the model, the base and the quantized one; people or teams."
    )
    organisation: str | None = Field(None, description="Company or institution of the authors.")
    date: str | None = Field(None, description="When the model was made, in words.")
    version: str | None = Field(None, description="Version of the model, as text.")
    type: str | None = Field(None, description="Kind of model, in words.")
    resources: tuple[Link, ...] = Field((), description="Papers and pages to read more in.")
    contact: tuple[Link, ...] = Field((), description="Where to ask and to report.")


class IntendedUse(Part):
    """What the model is for, and what it is not for."""

    primary_uses: str | None = Field(None, description="What the model is meant to do.")
    primary_users: str | None = Field(None, description="For whom.")
    out_of_scope: str | None = Field(None, description="Uses that the author advises against.")


class Factors(Part):
    """What the model's behaviour may depend on."""

    groups: str | None = Field(None, description="Whose language or traits are in the data.")
    instrumentation: str | None = Field(None, description="How the data was captured.")
    environment: str | None = Field(None, description="Where it was captured and will be used.")
    card_prompts: str | None = Field(None, description="Other factors that a user should know.")


class MetricsProse(Part):
    """How to read the measured metrics."""

    decision_thresholds: str | None = Field(None, description="How a score becomes a decision.")
    uncertainty: str | None = Field(None, description="Where intervals and variability come from.")


class DataProse(Part):
    """The training and evaluation data, in words."""

    datasets: str | None = Field(None, description="What the data is and who labelled it.")
    motivation: str | None = Field(None, description="Why this data was chosen.")


class AnalysesProse(Part):
    """Comments on what was looked at apart; the slices themselves are measured."""

    unitary: str | None = Field(None, description="Comment on the slices, which are measured.")
    intersectional: str | None = Field(None, description="Comment on factors together.")


class Ethics(Part):
    """Ethical considerations."""

    data: str | None = Field(None, description="Sensitive content in the data.")
    human_life: str | None = Field(None, description="Whether it informs decisions about lives.")
    mitigations: str | None = Field(None, description="What was done against the risks.")
    risks_and_harms: str | None = Field(None, description="What may go wrong, and for whom.")
    use_cases: str | None = Field(None, description="Uses that are especially fraught.")


class CardData(Part):
    """What no stage can measure. None is shown as "not provided by the author", never invented."""

    details: Details = Field(Details(), description="Who made the model; where to read more.")
    intended_use: IntendedUse = Field(IntendedUse(), description="What the model is for.")
    factors: Factors = Field(Factors(), description="What its behaviour may depend on.")
    metrics: MetricsProse = Field(MetricsProse(), description="How to read the metrics.")
    data: DataProse = Field(DataProse(), description="The data, in words.")
    analyses: AnalysesProse = Field(AnalysesProse(), description="Factors looked at apart.")
    ethics: Ethics = Field(Ethics(), description="What may harm people.")
    caveats: str | None = Field(None, description="Caveats and recommendations.")
    bibtex: str | None = Field(None, description="BibTeX entries to cite.")
