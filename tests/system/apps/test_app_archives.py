"""Export and import, and archives that nobody should accept."""

import io
import json
import zipfile
from typing import Any

import pytest

from sirdar.store import tables as t

WHOLE = b"alias: whole\ncommand: ls\n"


def test_an_export_is_deterministic_and_imports_to_the_same_version(site: Any, anna: Any) -> None:
    made = anna.publish()
    reply = anna.get("/api/apps/anna/sumsq/export")
    assert reply.headers["content-disposition"] == 'attachment; filename="sumsq-1.zip"'
    assert reply.content == anna.get("/api/apps/anna/sumsq@1/export").content
    with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
        assert archive.namelist() == ["ApplicationFiles/sumsq.py", "application.json", "sirdar.yaml"]
        assert archive.read("ApplicationFiles/sumsq.py") == anna.PROGRAM
        assert json.loads(archive.read("application.json"))["alias"] == "sumsq"
    taken = site["olga"].import_zip(reply.content)
    assert taken.status_code == 201, taken.text
    assert (taken.json()["owner"], taken.json()["digest"]) == ("olga", made["digest"])
    again = anna.import_zip(reply.content)
    assert (again.status_code, again.json()["created"]) == (200, False)
    assert site.leftovers == []


def test_everests_export_is_taken_over(anna: Any) -> None:
    document = {
        "alias": "svf-remote", "name": "SvF", "annotation": "Simplicity versus fitting", "keywords": ["svf"],
        "description": "Text", "type": "application", "files": [], "version": "0.1.0", "retryFailedTasks": False,
        "inputs": {"mng": {"title": "Task", "type": "string", "format": "uri", "required": True}},
        "outputs": {"results": {"title": "Results", "type": "string", "format": "uri", "required": False}},
        "config": {
            "command": "run.sh ${mng}", "inputMappings": [],
            "outputMappings": [{"param": "results", "file": "results.zip", "pattern": ""},
                               {"param": "stdout", "file": "stdout", "pattern": ""}],
            "resourceRequirements": {"nodes": {"defaultValue": 1, "allowOverride": False}, "coresPerNode": {},
                                     "memoryPerCore": {}, "timeLimit": {}},
        },
    }  # fmt: skip
    content = {"application.json": json.dumps(document).encode(), "ApplicationFiles/run.sh": b"#!/bin/sh\n"}
    reply = anna.import_zip(content)
    assert reply.status_code == 201, reply.text
    assert isinstance(reply.json()["notes"], list)
    shown = anna.get("/api/apps/anna/svf-remote").json()
    assert [file["path"] for file in shown["files"]] == ["run.sh"]
    assert shown["inputs"]["mng"]["required"] is True


def test_a_zipped_folder_is_taken_over(anna: Any) -> None:
    content = {
        "sums/sirdar.yaml": anna.DESCRIPTION.encode(),
        "sums/sumsq.py": anna.PROGRAM,
        "sums/lib/a.py": b"x = 1\n",
    }
    assert anna.import_zip(content).status_code == 201
    assert [file["path"] for file in anna.get("/api/apps/me/sumsq").json()["files"]] == ["lib/a.py", "sumsq.py"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive at all",
        {"readme.txt": b"x"},
        {"sirdar.yaml": WHOLE, "../up.py": b"x"},
        {"sirdar.yaml": WHOLE, "/etc/cron.d/x": b"x"},
        {"application.json": b"{"},
        {"application.json": b"[" * 100_000},
        {"sirdar.yaml": WHOLE, "zeros": b"\0" * 200_000_000},
    ],
    ids=["empty", "text", "neither", "up", "absolute", "broken json", "deep json", "bomb"],
)
def test_archives_that_are_refused(site: Any, anna: Any, content: bytes) -> None:
    anna.refused_zip(422, "invalid_archive", content)
    assert site.count(t.apps) == 0
    assert site.leftovers == []


def test_an_archive_with_a_wrong_description(anna: Any) -> None:
    found = anna.refused_zip(422, "invalid_description", {"sirdar.yaml": b"alias: x\n"})
    assert found["errors"]
