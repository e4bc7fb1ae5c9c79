"""The words that the Hub knows in a card's metadata, as its documentation lists them.

Taken in August 2026: licences from huggingface/hub-docs (docs/hub/repositories-licenses.md), tasks
from huggingface/huggingface.js (packages/tasks/src/pipelines.ts), relations from hub-docs
(docs/hub/model-cards.md), metrics from the spaces of evaluate-metric (hf.co/metrics).
"""

from __future__ import annotations

import re


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


LICENSES = _set(
    """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0
    bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear
    c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0
    cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
    cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl
    ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl
    lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0
    odc-by odbl openmdw-1.0 openmdw-1.1 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib
    pddl lgpl-lr deepfloyd-if-license fair-noncommercial-research-license llama2 llama3 llama3.1
    llama3.2 llama3.3 llama4 grok2-community gemma unknown other
    """
)
# As license_link: an address, or the name of a file in the repository.
LICENSE_LINK = re.compile(r"^(https?://\S+|LICENSE(\.\w+)?)$")
# Of the licences, what a CITATION.cff can name: ids of SPDX, which are case-sensitive, that are in
# the list of the Citation File Format 1.2.0.
_SPDX = _set(
    """
    Apache-2.0 MIT AFL-3.0 Artistic-2.0 BSL-1.0 BSD-2-Clause BSD-3-Clause BSD-3-Clause-Clear CC0-1.0
    CC-BY-2.0 CC-BY-2.5 CC-BY-3.0 CC-BY-4.0 CC-BY-SA-3.0 CC-BY-SA-4.0 CC-BY-NC-2.0 CC-BY-NC-3.0
    CC-BY-NC-4.0 CC-BY-ND-4.0 CC-BY-NC-ND-3.0 CC-BY-NC-ND-4.0 CC-BY-NC-SA-2.0 CC-BY-NC-SA-3.0
    CC-BY-NC-SA-4.0 CDLA-Sharing-1.0 CDLA-Permissive-1.0 WTFPL ECL-2.0 EPL-1.0 EPL-2.0 etalab-2.0
    EUPL-1.1 EUPL-1.2 AGPL-3.0 GPL-2.0 GPL-3.0 LGPL-2.1 LGPL-3.0 ISC LPPL-1.3c MS-PL MPL-2.0 OSL-3.0
    PostgreSQL OFL-1.1 NCSA Unlicense Zlib
    """
)
SPDX = {name.lower(): name for name in _SPDX} | {"pddl": "PDDL-1.0"}

PIPELINE_TAGS = _set(
    """
    text-classification token-classification table-question-answering question-answering
    zero-shot-classification translation summarization feature-extraction text-generation fill-mask
    sentence-similarity text-to-speech text-to-audio automatic-speech-recognition audio-to-audio
    audio-classification audio-text-to-text voice-activity-detection depth-estimation
    image-classification object-detection image-segmentation text-to-image image-to-text
    image-to-image image-to-video unconditional-image-generation video-classification
    reinforcement-learning robotics tabular-classification tabular-regression tabular-to-text
    table-to-text multiple-choice text-ranking text-retrieval time-series-forecasting text-to-video
    image-text-to-text image-text-to-image image-text-to-video visual-question-answering
    document-question-answering zero-shot-image-classification graph-ml mask-generation
    zero-shot-object-detection text-to-3d image-to-3d image-feature-extraction video-text-to-text
    keypoint-detection visual-document-retrieval any-to-any video-to-video other
    """
)

BASE_MODEL_RELATIONS = frozenset({"adapter", "merge", "quantized", "finetune"})

METRICS = _set(
    """
    accuracy bertscore bleu bleurt brier_score cer character charcut_mt chrf code_eval comet
    competition_math coval cuad exact_match f1 frugalscore glue google_bleu indic_glue mae
    mahalanobis mape mase matthews_correlation mauve mean_iou meteor mse nist_mt pearsonr perplexity
    poseval precision r_squared recall rl_reliability roc_auc rouge sacrebleu sari seqeval smape
    spearmanr squad squad_v2 super_glue ter trec_eval wer wiki_split xnli xtreme_s
    """
)

# Of two letters, ISO 639-1. The codes of three letters, some 8,000, are not listed here.
ISO_639_1 = _set(
    """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da
    de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz
    ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln
    lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi
    pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss st su sv sw ta te tg th
    ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
    """
)
# A country's code where its language's is meant.
COUNTRIES = {
    **{"jp": "ja", "cn": "zh", "gr": "el", "cz": "cs", "dk": "da", "vn": "vi", "ua": "uk"},
    **{"us": "en", "gb": "en"},
}
# What the Hub takes beside language codes.
SPECIAL_LANGUAGES = frozenset({"multilingual", "code"})

# Keys of a model card's metadata, to tell a mistyped one.
KEYS = _set(
    """
    language language_bcp47 license license_name license_link library_name pipeline_tag base_model
    base_model_relation datasets metrics tags widget inference model-index new_version thumbnail
    buckets co2_eq_emissions pretty_name extra_gated_prompt extra_gated_fields
    extra_gated_heading extra_gated_description extra_gated_button_content
    """
)
