"""A description written out again means the same, and reads as an author's."""

import sys
from pathlib import Path

from hypothesis import given, settings

from sirdar.domain.app import App
from sirdar.wire.description import parse_yaml, to_document
from sirdar.wire.description_text import author_yaml, canonical_yaml

sys.path.insert(0, str(Path(__file__).parent))
from app_strategies import apps

TEXT = """\
sirdar: 1
alias: svf
name: Simplicity versus fitting
description: |
  # What it does

  Fits: a model.
keywords: [svf, fits]
inputs:
  data: {type: file, required: true, suffixes: [.csv]}
  folds: {type: integer, minimum: 2, default: 7}
command: python fit.py ${data} --folds ${folds}
outputs:
  fit: {type: file, from: fit.png}
resources: {cpus: 4, memory: 2 GiB, time: 90 min}
retention: 30 d
"""


def test_an_authors_text_comes_back_as_it_was() -> None:
    assert author_yaml(to_document(parse_yaml(TEXT))) == TEXT


def test_what_cannot_be_written_so_is_written_plainly() -> None:
    document = to_document(parse_yaml(TEXT))
    document["annotation"] = "half a character: \ud800"  # no text takes it
    assert author_yaml(document) == canonical_yaml(document)


@settings(max_examples=200, deadline=None)
@given(apps())
def test_it_means_the_same(app: App) -> None:
    document = to_document(app)
    assert to_document(parse_yaml(author_yaml(document))) == document
