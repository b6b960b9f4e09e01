"""Whatever is sent: a 4xx that says what to change, and nothing left behind."""

from __future__ import annotations

import json

import pytest

from tests.integration.stage import someone_in

OK = b'"placement":"home-top","user_id":"u1"'

BAD: dict[str, tuple[bytes, int, str]] = {
    "no body": (b"", 400, "Invalid JSON"),
    "malformed JSON": (b'{"placement": ', 400, "Invalid JSON"),
    "not an object": (b"[]", 422, "should be an object"),
    "deep nesting": (b"[" * 100_000, 400, "recursion limit"),
    "invalid UTF-8": (b'{"placement":"home-top","user_id":"\xff"}', 400, "invalid unicode"),
    "a lone surrogate": (rb'{"placement":"home-top","user_id":"\ud800"}', 400, "hex escape"),
    "a lone surrogate in a context": (b"{" + OK + rb',"context":{"device":"\udc00"}}', 400, "Invalid JSON"),
    "a NUL in an id": (rb'{"placement":"home-top","user_id":"\u0000"}', 422, "U+0000"),
    "a NUL in a context": (b"{" + OK + rb',"context":{"device":"\u0000"}}', 422, "U+0000"),
    "a NUL in a candidate": (b"{" + OK + rb',"candidates":["\u0000"]}', 422, "U+0000"),
    "nobody": (b'{"placement":"home-top"}', 422, "send user_id or anonymous_id"),
    "an empty id": (b'{"placement":"home-top","user_id":""}', 422, "at least 1 character"),
    "a long id": (b'{"placement":"home-top","user_id":"' + b"u" * 257 + b'"}', 422, "at most 256 characters"),
    "a number for an id": (b'{"placement":"home-top","user_id":7}', 422, "valid string"),
    "no placement": (b'{"user_id":"u1"}', 422, "Field required"),
    "an unknown placement": (b'{"placement":"home-tpo","user_id":"u1"}', 404, "did you mean 'home-top'?"),
    "an unknown field": (b"{" + OK + b',"canditates":[]}', 422, "did you mean 'candidates'?"),
    "an unknown consent": (b"{" + OK + b',"consent":{"mesure":true}}', 422, "did you mean 'measure'?"),
    "a text for a consent": (b"{" + OK + b',"consent":{"measure":"no"}}', 422, "valid boolean"),
    "a negative limit": (b"{" + OK + b',"limit":-1}', 422, "greater than or equal to 1"),
    "no limit at all": (b"{" + OK + b',"limit":0}', 422, "greater than or equal to 1"),
    "a high limit": (b"{" + OK + b',"limit":11}', 422, "at most 10"),
    "a text for a limit": (b"{" + OK + b',"limit":"3"}', 422, "valid integer"),
    "a fraction for a limit": (b"{" + OK + b',"limit":1.5}', 422, "valid integer"),
    "NaN for a limit": (b"{" + OK + b',"limit":NaN}', 422, "valid integer"),
    "NaN": (b"{" + OK + b',"context":{"age":NaN}}', 422, "'age' must be a finite number"),
    "Infinity": (b"{" + OK + b',"context":{"age":-Infinity}}', 422, "'age' must be a finite number"),
    "NaN in a list": (b"{" + OK + b',"context":{"age":[1,NaN]}}', 422, "'age' must be a finite number"),
    "1e999": (b"{" + OK + b',"context":{"age":1e999}}', 422, "'age' must be a finite number"),
    "400 digits": (b"{" + OK + b',"context":{"age":' + b"9" * 400 + b"}}", 422, "'age' must be a finite number"),
    "5000 digits": (b"{" + OK + b',"context":{"age":' + b"9" * 5000 + b"}}", 400, "out of range"),
    "null in a context": (b"{" + OK + b',"context":{"age":null}}', 422, "must be text, a number"),
    "an object in a context": (b"{" + OK + b',"context":{"age":{}}}', 422, "must be text, a number"),
    "a list for a context": (b"{" + OK + b',"context":[]}', 422, "should be an object"),
    "a text for a number": (b"{" + OK + b',"context":{"age":"old"}}', 422, "'age' must be a number"),
    "a number for a word": (b"{" + OK + b',"context":{"device":7}}', 422, "'device' must be text"),
    "65 facts": (b"{" + OK + b',"context":{'
                 + b",".join(b'"f%d":1' % i for i in range(65)) + b"}}", 422, "at most 64"),
    "a long fact": (b"{" + OK + b',"context":{"device":"' + b"x" * 1025 + b'"}}', 422, "at most 1024"),
    "a fact without a name": (b"{" + OK + b',"context":{"":1}}', 422, "at least 1 character"),
    "1001 exclusions": (b"{" + OK + b',"exclude":[' + b",".join([b'"i1"'] * 1001) + b"]}", 422, "at most 1000"),
    "21 candidates": (b"{" + OK + b',"candidates":[' + b",".join([b'"i1"'] * 21) + b"]}", 422, "at most 20"),
    "200,000 candidates": (b"{" + OK + b',"candidates":[' + b",".join([b"1"] * 200_000) + b"]}", 422, "candidates"),
    "numbers for candidates": (b"{" + OK + b',"candidates":[1,2]}', 422, "valid string"),
    "10 MB": (b"{" + OK + b',"context":{"device":"' + b"x" * 10_000_000 + b'"}}', 413, "larger than 1000000 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_what_to_change_and_leaves_nothing_behind(gateway, recommender, case):
    body, expected, hint = BAD[case]
    status, headers, answer = gateway.send("POST", "/v1/recommendations", body)
    problem = json.loads(answer)
    assert (status, problem["status"]) == (expected, expected)
    assert headers["content-type"] == "application/problem+json"
    assert hint in json.dumps(problem, ensure_ascii=False)
    assert len(answer) < 2000
    assert recommender.recorded.slates() == []
    assert gateway.recorded.slates() == []


def test_bad_input_is_refused_alike_in_every_arm_and_when_the_recommender_is_away(gateway, recommender):
    people = [someone_in(gateway, "control"), someone_in(gateway, "learnt")]
    bodies = [
        json.dumps({"placement": "home-top", "anonymous_id": person, "context": {"age": "old"}}).encode()
        for person in people
    ]
    assert [gateway.send("POST", "/v1/recommendations", body)[0] for body in bodies] == [422, 422]
    recommender.stop()
    assert [gateway.send("POST", "/v1/recommendations", body)[0] for body in bodies] == [422, 422]


def test_bad_input_is_never_repeated_in_the_answer(gateway):
    for field in ("user_id", "context", "limit", "candidates"):
        body = json.dumps({"placement": "home-top", "user_id": "u1", field: ["anna@example.org", {}]}).encode()
        status, _, answer = gateway.send("POST", "/v1/recommendations", body)
        assert status == 422
        assert b"anna" not in answer


def test_a_request_by_another_path_or_method_is_a_4xx(gateway):
    assert gateway.send("GET", "/v1/recommendations")[0] == 405
    assert gateway.send("POST", "/v1/nothing", b"{}")[0] == 404
