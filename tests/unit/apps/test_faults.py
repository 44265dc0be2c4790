"""What a body has wrong is said at the caller's own places and in Sirdar's own words, whatever model reads it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from sirdar.api import agent_blobs, apps, auth, files, people, publish
from sirdar.api.agent import parse_message
from sirdar.api.errors import from_body, from_validation
from sirdar.api.submit import parse
from sirdar.domain.problems import Problem
from sirdar.wire import agent
from sirdar.wire.submit import ResubmitRequest, SubmitRequest

PYDANTIC = re.compile(
    r"Input should|Field required|Extra inputs|Value error|should have at|should match|valid (string|integer|array|list)"
    r"|unable to|dict\[|list\[|ForeachUri|Webhook|validation|Invalid JSON"
)


def problem_of(model: type[BaseModel], body: bytes) -> Problem:
    with pytest.raises(ValidationError) as caught:
        model.model_validate_json(body)
    return from_body(caught.value, body)


def test_a_field_that_is_wrong_in_each_way() -> None:
    table: list[tuple[type[BaseModel], Any, str, str, str | None]] = [
        (SubmitRequest, {"foreach": 5}, "foreach", "is a number, not a list or an object", "a list or an object"),
        (SubmitRequest, {"foreach": [{}, 1]}, "foreach[1]", "is a number, not an object", "an object"),
        (SubmitRequest, {"foreach": {"urii": "x"}}, "foreach.uri", "is required", None),
        (SubmitRequest, {"foreach": {"uri": 1}}, "foreach.uri", "is a number, not a string", "a string"),
        (SubmitRequest, {"inputz": {}}, "inputz", "is not known here", None),
        (SubmitRequest, {"inputs": None}, "inputs", "is null, not an object", "an object"),
        (SubmitRequest, {"inputs": []}, "inputs", "is a list, not an object", "an object"),
        (SubmitRequest, {"name": "a\x01"}, "name", "holds control characters", None),
        (SubmitRequest, {"name": "a" * 501}, "name", "is too long", "at most 500 characters"),
        (SubmitRequest, {"after": 5}, "after", "is a number, not a string or a list", "a string or a list"),
        (SubmitRequest, {"after": ["a", True]}, "after[1]", "is true, not a string", "a string"),
        (SubmitRequest, {"onFailure": "x"}, "onFailure", "is not one of the choices", "continue, stop or ignore"),
        (SubmitRequest, {"on_failure": "x"}, "on_failure", "is not one of the choices", "continue, stop or ignore"),
        (SubmitRequest, {"retries": 1.5}, "retries", "is a fraction, not a whole number", "a whole number"),
        (SubmitRequest, {"retries": "many"}, "retries", "is a string, not a whole number", "a whole number"),
        (SubmitRequest, {"retries": -1}, "retries", "is too small", "at least 0"),
        (SubmitRequest, {"priority": 101}, "priority", "is too large", "at most 100"),
        (SubmitRequest, {"retentionS": 0}, "retentionS", "is too small", "more than 0"),
        (SubmitRequest, {"debug": "perhaps"}, "debug", "is a string, not true or false", "true or false"),
        (SubmitRequest, {"notify": [{"webhok": "x"}]}, "notify[0].webhok", "is not known here", None),
        (SubmitRequest, {"notify": [{}] * 21}, "notify", "holds too many elements", "at most 20"),
        (SubmitRequest, {"overrides": {"cpus": "a"}}, "overrides.cpus", "is a string, not a whole number", "a whole number"),
        (SubmitRequest, {"overrides": {"memory": []}}, "overrides.memory", "is a list, not a whole number or a string",
         "a whole number or a string"),
        (ResubmitRequest, {"version": "@3"}, "version", "is not one of the choices", "same or latest"),
        (ResubmitRequest, {"inputs": {}, "foreach": []}, "foreach", "is not known here", None),
        (auth.SignIn, {"username": "a"}, "password", "is required", None),
        (auth.TokenWanted, {"label": ""}, "label", "is too short", "1 or more characters"),
        (auth.TokenWanted, {"label": "x", "scopes": ["read", "root"]}, "scopes[1]", "is not one of the choices",
         "read, run, publish, admin or all"),
        (auth.TokenWanted, {"label": "x", "apps": [1]}, "apps[0]", "is a number, not a string", "a string"),
        (auth.TokenWanted, {"label": "x", "lifetime": 10**10}, "lifetime", "is too large", "at most 316224000"),
        (people.GroupWanted, {}, "name", "is required", None),
        (people.UserWanted, {"name": "a", "quotas": {"bytes": -1}}, "quotas.bytes", "is too small", "at least 0"),
        (people.UserChange, {"disabled": 5}, "disabled", "is a number, not true or false", "true or false"),
        (people.AccountChange, {"password": {"old": "x"}}, "password.new", "is required", None),
        (people.AccountChange, {"notify": [5]}, "notify[0]", "is a number, not an object", "an object"),
        (people.AccountChange, {"notify": [{"Webhook": 1}]}, "notify[0].Webhook", "is not known here", None),
        (apps.Share, {"permission": "own"}, "permission", "is not one of the choices", "run or view"),
        (apps.Archive, {"archived": 2}, "archived", "is a number, not true or false", "true or false"),
        (apps.Secret, {"value": {}}, "value", "is an object, not a string", "a string"),
        (publish.Wanted, {"description": "", "files": [{"path": "a", "sha256": "b", "size": "3"}]}, "files[0].size",
         "is a string, not a whole number", "a whole number"),
        (publish.Wanted, {"description": "", "secrets": {"a.b": 1}}, "secrets.a.b", "is a number, not a string", "a string"),
        (files.NewUpload, {"filename": "x", "length": 1e300}, "length", "is too large", "a number of fewer digits"),
        (agent_blobs.LocalBlob, {"size": -1}, "size", "is too small", "at least 0"),
        (agent.VarsRequest, {"job": "a", "ops": [["get", "x", None], ["drop", "x", None]]}, "ops[1][0]",
         "is not one of the choices", "get, set or set_md"),
        (agent.VarsRequest, {"job": "a", "ops": [["get", "x"]]}, "ops[0][2]", "is required", None),
        (agent.SyncRequest, {"session": "s", "claim": {"max_n": "x"}}, "claim.max_n", "is a string, not a whole number",
         "a whole number"),
        (agent.HelloRequest, {"protocols": [1], "agent_version": "1", "session": "s"}, "capabilities", "is required", None),
        (agent.SyncRequest, {"session": "s", "finals": [{"key": "k", "stats": {"curve": [[1, 2]]}}]},
         "finals[0].stats.curve[0][2]", "is required", None),
    ]  # fmt: skip
    for model, body, field, detail, expected in table:
        problem = problem_of(model, json.dumps(body).encode())
        errors = {entry.field: entry for entry in problem.errors}
        assert problem.code == "invalid_field", (model, body)
        assert field in errors, (model, body, errors)
        assert errors[field].detail == detail, (model, body)
        if expected is not None:
            assert errors[field].expected == expected, (model, body)


REQUESTS = [
    SubmitRequest, ResubmitRequest, auth.SignIn, auth.TokenWanted, people.UserWanted, people.UserChange,
    people.AccountChange, people.GroupWanted, apps.Share, apps.Archive, apps.Secret, publish.Wanted, files.NewUpload,
    agent_blobs.LocalBlob, agent.JoinRequest, agent.TokenRequest, agent.HelloRequest, agent.SyncRequest,
    agent.HeartbeatRequest, agent.VarsRequest,
]  # fmt: skip
WRONG: list[Any] = [
    None,
    True,
    -1,
    1.5,
    10**400,
    "",
    "x",
    "x" * 5000,
    [],
    [None],
    [[]],
    [{}],
    {},
    {"zz": 1},
    {"Mail": []},
]


def wrong_bodies(model: type[BaseModel]) -> Iterator[dict[str, Any]]:
    """Each field with each kind of value, one level deeper too."""
    for name, field in model.model_fields.items():
        for value in WRONG:
            yield {field.alias or name: value}
            yield {field.alias or name: [value]}
            for inner in ("uri", "memory", "webhook", "cpus", "key", "size", "jobsInFlight", "max_n"):
                yield {field.alias or name: {inner: value}}
                yield {field.alias or name: [{inner: value}]}


@pytest.mark.parametrize("model", REQUESTS)
def test_no_request_model_speaks_in_words_of_pydantic(model: type[BaseModel]) -> None:
    for body in wrong_bodies(model):
        text = json.dumps(body).encode()
        try:
            model.model_validate_json(text)
        except ValidationError as error:
            problem = from_body(error, text)
            said = json.dumps(problem.to_json())
            assert not PYDANTIC.search(said), (body, said)
            for entry in problem.errors:
                assert entry.detail != "is not what is expected", (body, error)
                assert re.split(r"[.\[]", entry.field)[0] in body or entry.detail == "is required", (body, entry)


def test_the_same_is_said_where_the_framework_reads_the_body() -> None:
    given = {"notify": [{"webhok": "x"}], "email": 5}
    with pytest.raises(ValidationError) as caught:
        people.AccountChange.model_validate(given)
    found = [{**item, "loc": ("body", *item["loc"])} for item in caught.value.errors()]
    problem = from_validation(RequestValidationError(found, body=given))
    assert {entry.field for entry in problem.errors} == {"notify[0].webhok", "email"}
    assert problem.detail == "email: is a number, not a string (and 1 more)"


def test_a_parameter_of_the_address_is_named_with_what_was_given() -> None:
    item = {"type": "int_parsing", "loc": ("query", "limit"), "msg": "Input should be ...", "input": "many"}
    problem = from_validation(RequestValidationError([item]))
    assert (problem.code, problem.field, problem.expected) == ("invalid_field", "limit", "a whole number")
    assert problem.detail == "limit: is a string, not a whole number (given: 'many')"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"inputs": ', "it ends too early at line 1 column 11"),
        (b"<x/>", "it cannot be read further at line 1 column 1"),
        (b'{"name": "\\ud800"}', "at line 1 column"),
        (b'{"name": "\xff"}', "at line 1 column 11"),
    ],
)
def test_a_body_that_is_no_json(body: bytes, says: str) -> None:
    for read in (parse, lambda body: parse_message(body, agent.SyncRequest)):
        with pytest.raises(Problem) as caught:
            read(body)
        assert caught.value.code == "invalid_request"
        assert says in caught.value.detail
        assert not PYDANTIC.search(caught.value.detail)


def test_a_body_that_is_no_object() -> None:
    with pytest.raises(Problem) as caught:
        parse(b"[]")
    assert (caught.value.code, caught.value.field) == ("invalid_request", "body")
    assert caught.value.detail == "The body is a list, not an object."


def test_a_value_of_a_body_is_never_repeated() -> None:
    problem = problem_of(auth.SignIn, b'{"username": "a", "password": ["hunter2"]}')
    assert "hunter2" not in json.dumps(problem.to_json())
