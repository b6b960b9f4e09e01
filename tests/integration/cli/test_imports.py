"""`omakase items import` and `omakase contexts import`, over real stores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omakase.adapters import (
    open_catalogue_store,
    open_context_store,
)
from omakase.keys import load_keys

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_items_are_imported_and_imported_again(omakase, deployment):
    for generation in (1, 2):
        said = omakase("items", "import", EXAMPLES / "items.ndjson", "--data-dir", deployment.data_dir)
        assert (said.code, said.out) == (0, f"12 items imported, catalogue generation {generation}\n")
    assert len(open_catalogue_store(deployment.uris.catalogue).load()) == 12


def test_contexts_are_imported_under_pseudonyms_only(omakase, deployment):
    said = omakase("contexts", "import", EXAMPLES / "contexts.ndjson", "--data-dir", deployment.data_dir)
    assert (said.code, said.out) == (0, "5 contexts imported\n")
    first = json.loads((EXAMPLES / "contexts.ndjson").read_text().splitlines()[0])
    person = load_keys(deployment.keys).pseudonym("user", first["user_id"])
    known = open_context_store(deployment.uris.contexts).find([person]).get(person)
    assert known is not None
    assert known.facts == {name: float(v) if isinstance(v, int) else v for name, v in first["context"].items()}
    assert first["user_id"].encode() not in b"".join(path.read_bytes() for path in deployment.root.glob("contexts.db*"))


def test_a_text_may_hold_any_line_separator_but_the_newline(omakase, deployment, tmp_path):
    names = [f"a{character}b" for character in "\u2028\u2029\x85\x0b\x0c\x1c"]
    lines = [json.dumps({"item_id": f"i{i}", "metadata": {"name": name}}) for i, name in enumerate(names)]
    raw = [json.dumps({"item_id": "u", "metadata": {"name": "a\u2028b\x85c"}}, ensure_ascii=False)]
    (tmp_path / "items").write_bytes("\ufeff".encode() + "\r\n".join([*lines, "", *raw, ""]).encode())
    said = omakase("items", "import", tmp_path / "items", "--data-dir", deployment.data_dir)
    assert (said.code, said.err) == (0, "")
    catalogue = open_catalogue_store(deployment.uris.catalogue).load()
    assert [facts["name"] for facts in catalogue.metadata] == [*names, "a\u2028b\x85c"]


BAD_ITEMS = {
    "{": "Expecting property name",
    "[]": "a line must be one JSON object",
    "null": "a line must be one JSON object",
    "{}": "`item_id` must be text",
    '{"item_id": 7}': "`item_id` must be text",
    '{"item_id": ""}': "1 to 256 characters",
    '{"item_id": "\\ud800"}': "not Unicode",
    '{"item_id": "a", "price": 3}': "unknown keys ['price']; facts about an item go into `metadata`",
    '{"item_id": "a", "metadata": []}': "`metadata` must be an object",
    '{"item_id": "a", "metadata": {"x": null}}': "'x' must be text, a number",
    '{"item_id": "a", "metadata": {"x": NaN}}': "'x' must be a finite number",
    '{"item_id": "a", "metadata": {"x": 1%s}}' % ("0" * 400): "'x' must be a finite number",
    '{"item_id": "a", "value": "9"}': "`value` must be a number or left out",
    '{"item_id": "a", "value": true}': "`value` must be a number or left out",
    '{"item_id": "a", "value": Infinity}': "value must be a finite number",
    '{"item_id": "a", "value": 1%s}' % ("0" * 400): "value must be a finite number",
    '{"item_id": "a", "value": 1%s}' % ("0" * 5000): "4300 digits",
    '{"item_id": "a", "stock": 1.5}': "`stock` must be a whole number of pieces or left out",
    '{"item_id": "a", "stock": true}': "`stock` must be a whole number of pieces or left out",
    '{"item_id": "a", "stock": -1}': "stock must be 0 to",
    '{"item_id": "a", "in_stock": "yes"}': "`in_stock` and `hidden` must be true or false",
    '{"item_id": "a", "metadata": {"x": %s}}' % ("[" * 100_000): "is nested too deeply",
}
BAD_CONTEXTS = {
    '{"user_id": "u"}': "`context` must be an object",
    '{"user_id": "", "context": {}}': "`user_id` must be text of 1 to 256 characters",
    '{"user_id": 5, "context": {}}': "`user_id` must be text of 1 to 256 characters",
    '{"user_id": "u", "context": {}, "age": 3}': "unknown keys ['age']; facts about a person go into `context`",
    '{"user_id": "u", "context": {"x": {"y": 1}}}': "'x' must be text, a number",
}


@pytest.mark.parametrize("kind", ["items", "contexts"])
def test_a_line_that_does_not_fit_is_named_and_nothing_is_imported(omakase, deployment, tmp_path, kind):
    good = {"items": '{"item_id": "good"}', "contexts": '{"user_id": "good", "context": {}}'}[kind]
    for number, (bad, reason) in enumerate({"items": BAD_ITEMS, "contexts": BAD_CONTEXTS}[kind].items()):
        file = tmp_path / f"bad-{number}.ndjson"
        file.write_text(f"{good}\n\n{bad}\n{good}\n")
        said = omakase(kind, "import", file, "--data-dir", deployment.data_dir)
        assert said.code == 2, bad[:80]
        assert said.err.startswith(f"error: {file}:3: "), said.err[:200]
        assert reason in said.err, said.err[:200]
    assert len(open_catalogue_store(deployment.uris.catalogue).load()) == 0


def test_a_file_that_is_not_utf_8_is_refused(omakase, deployment, tmp_path):
    (tmp_path / "latin").write_bytes('{"item_id": "café"}'.encode("latin-1"))
    said = omakase("items", "import", tmp_path / "latin", "--data-dir", deployment.data_dir)
    assert said.code == 2
    assert "is not UTF-8" in said.err
