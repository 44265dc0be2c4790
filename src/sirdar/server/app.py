"""The composition root: builds the services, mounts routers and pages, runs the loops."""

import contextlib
from collections.abc import AsyncIterator
from functools import partial

import anyio
import structlog
from fastapi import FastAPI

import sirdar
from sirdar.api import (
    agent,
    agent_blobs,
    apps,
    auth,
    document,
    errors,
    events,
    file_batches,
    files,
    health,
    job_shares,
    job_tasks,
    jobs,
    people,
    plots,
    publish,
    resources,
    submit,
    usage,
)
from sirdar.api.hot import HotRoutes
from sirdar.api.observe import Observed
from sirdar.blobs.logs import LogStore
from sirdar.dispatch import advance, expire, hear, move, notify, sweep
from sirdar.dispatch.assign import Assigner
from sirdar.dispatch.desk import Desk
from sirdar.services.context import Services
from sirdar.services.hub import Hub
from sirdar.services.keep.places import blobs_of
from sirdar.services.keys import Keys
from sirdar.services.others import forget_changed
from sirdar.services.readiness import Readiness
from sirdar.services.settings import Settings
from sirdar.services.signin import Authenticator
from sirdar.services.tidy import LogTidy
from sirdar.store import schema
from sirdar.store.engine import Store
from sirdar.store.jobs import delete_jobs
from sirdar.web import routes as web

log = structlog.get_logger()


def build_services(settings: Settings) -> Services:
    """Open the home: make what is missing in it, bring the database to the newest schema."""
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    schema.migrate(settings.database_url)
    store = Store(settings.database_url)
    keys = Keys.load(settings.home / "server.key")
    store.key_print = keys.sign("print", "of the key")[:12]
    return Services(
        settings=settings,
        store=store,
        keys=keys,
        hub=Hub(),
        blobs=blobs_of(settings),
        auth=Authenticator(store, keys, settings),
        logs=LogStore(settings.home / "logs"),
    )


def build_app(services: Services) -> FastAPI:
    """The ASGI application of one server process."""
    app = FastAPI(
        title="Sirdar",
        version=sirdar.__version__,
        description="Turns a researcher's program into a web service and runs it anywhere.",
        lifespan=_lifespan,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a name with a line break would be sent to another address
    )
    assigner = Assigner(services.settings, services.keys)
    services.hub.on_close.append(assigner.release_all)
    app.state.services = services
    app.state.assigner = assigner
    app.state.readiness = Readiness(services)
    app.state.desk = Desk(services.settings, services.store, services.keys, assigner, services.blobs)
    whose = (
        health,
        auth,
        people,
        publish,
        apps,
        file_batches,
        files,
        agent_blobs,
        agent,
        resources,
        events,
        jobs,
        job_tasks,
        plots,
        job_shares,
        submit,
        usage,
    )
    for module in whose:
        app.include_router(module.router)
    app.include_router(web.router)
    errors.install(app, services.settings)
    document.install(app)
    web.install(app)
    app.add_middleware(Observed)
    return app


def build_asgi(services: Services) -> HotRoutes:
    """What the HTTP server calls: the hot routes, and the application behind them."""
    app = build_app(services)
    return HotRoutes(app, services, app.state.desk)


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Starts the store and the loops, and stops them in the opposite order."""
    services: Services = app.state.services
    assigner: Assigner = app.state.assigner
    store = services.store
    store.before_commit.append(assigner.before_commit)
    store.after_commit.append(services.hub.publish)
    store.after_commit.append(app.state.desk.on_commit)
    tidy = LogTidy(services)
    store.after_commit.append(tidy.on_commit)
    store.after_others += [
        partial(forget_changed, services),
        app.state.desk.on_others,
        assigner.on_others,
        services.hub.publish,
    ]
    store.start()
    async with anyio.create_task_group() as group:
        group.start_soon(hear.run, store)
        group.start_soon(expire.run, store, services.settings)
        group.start_soon(assigner.run, store)
        group.start_soon(move.run, store, services.settings, assigner)
        group.start_soon(advance.run, services)
        group.start_soon(notify.run, services)
        group.start_soon(sweep.run, services, delete_jobs)
        group.start_soon(tidy.run)
        log.info("server_started", url=services.settings.url, home=str(services.settings.home))
        try:
            yield
        finally:
            services.hub.close()
            group.cancel_scope.cancel()
    store.close()
    services.blobs.close()
