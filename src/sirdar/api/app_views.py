"""Applications as JSON: in a list, whole, as a row of versions."""

from typing import Any

from sirdar.api.paging import iso
from sirdar.domain.app import App, Resources
from sirdar.services.apps import View
from sirdar.store.apps import AppRecord, VersionRow
from sirdar.wire.description_document import example_document
from sirdar.wire.description_environment import environment_document
from sirdar.wire.everest_export import export_everest
from sirdar.wire.schema import everest_inputs, everest_outputs


def summary(app: AppRecord) -> dict[str, Any]:
    """One line of a list."""
    return {
        "id": app.id,
        "owner": app.owner_name,
        "alias": app.alias,
        "name": app.name,
        "annotation": app.annotation,
        "keywords": list(app.keywords),
        "version": app.latest,
        "createdAt": iso(app.created_at),
        "updatedAt": iso(app.updated_at),
        "archived": app.archived_at is not None,
    }


def description(view: View) -> dict[str, Any]:
    """One version: Everest's shape, and what it lacks."""
    version, app = view.loaded.version, view.loaded.app
    return {
        **summary(view.app),
        "type": "application",
        "name": app.name or app.alias,
        "annotation": app.annotation,
        "keywords": list(app.keywords),
        "description": app.description,
        "version": version.number,
        "latest": view.app.latest,
        "versions": view.versions,
        "inputs": everest_inputs(app),
        "outputs": everest_outputs(app),
        "examples": [example_document(example) for example in app.examples],
        "config": export_everest(app, version.number)[0]["config"],
        "resources": resources(app.resources),
        "environment": environment_document(app.environment),
        "retries": app.retries,
        "retryFailedTasks": app.retries > 0,
        "retentionS": app.retention_s,
        "code": code(app),
        "codeVersion": version.code_version,
        "files": [{"path": f.path, "sha256": f.sha256, "size": f.size_bytes, "mode": f.mode} for f in version.files],
        "digest": version.digest,
        "note": version.note,
        "publishedAt": iso(version.created_at),
        "publishedBy": version.created_by,
        "permissions": list(view.permissions),
        "secrets": {"named": list(app.secrets), "set": list(view.secrets)},
    }


def resources(needs: Resources) -> dict[str, Any]:
    """What one task gets, and what a submission may change of it."""
    return {
        "cpus": needs.cpus,
        "gpus": needs.gpus,
        "nodes": needs.nodes,
        "memoryBytes": needs.memory_bytes,
        "timeS": needs.time_s,
        "diskBytes": needs.disk_bytes,
        "override": sorted(needs.override),
        "only": list(needs.only),
        "labels": dict(needs.labels),
        **({"slurm": dict(needs.slurm)} if needs.slurm else {}),
    }


def code(app: App) -> dict[str, Any]:
    """Where the files come from."""
    given = {"url": app.code.url, "project": app.code.project, "ref": app.code.ref, "path": app.code.path}
    given |= {"artifact": app.code.artifact, "job": app.code.job}
    at = {"atSubmission": True} if app.code.at_submission else {}
    return {"kind": app.code.kind.value, **{key: value for key, value in given.items() if value is not None}, **at}


def version_row(version: VersionRow, *, current: bool) -> dict[str, Any]:
    """One line of the list of versions."""
    return {
        "version": version.number,
        "current": current,
        "digest": version.digest,
        "codeVersion": version.code_version,
        "note": version.note,
        "createdAt": iso(version.created_at),
        "createdBy": version.created_by,
    }
