"""What services advise in the words of the command line and of REST calls, as a page says it: its own way, with a link.

Services speak to all: programs, the command line, people. Who reads a page is shown the page that does it. The sentences are
written as those of ``service_sentences.py`` are; ``%(link)s`` and ``%(end)s`` stand around the words of the link.
"""

from typing import NamedTuple

from sirdar.web.words import N_


class Advice(NamedTuple):
    """``address`` may hold the places of what is said, as ``{name}``; empty where no page does it for whoever may read this."""

    said: str
    shown: str
    address: str = ""


_MAY_PUBLISH = N_("Ask an administrator for the right to publish.")
_AMONG_APPS = N_("Look for it among the %(link)sapplications%(end)s that you may see.")
ADVICE = (
    Advice("GET /api/jobs lists your jobs.", N_("Look for it in %(link)sthe list of jobs%(end)s."), "/jobs"),
    Advice("GET /api/jobs/%(id)s names its files.", N_("%(link)sThe job's page%(end)s names its files."), "/jobs/{id}"),
    Advice("GET /api/apps lists what you may see.", _AMONG_APPS, "/apps"),
    Advice(
        "GET /api/apps/%(name)s/versions lists them.",
        N_("%(link)sThe application's page%(end)s lists its versions."),
        "/apps/{name}/versions",
    ),
    Advice(
        "sirdar resource list (GET /api/resources) names them.",
        N_("%(link)sResources%(end)s lists those that you may use."),
        "/resources",
    ),
    Advice(
        "GET /api/tokens lists yours.",
        N_("Yours are listed under %(link)sTokens and sessions%(end)s."),
        "/account/tokens",
    ),
    Advice(
        "sirdar user list shows who there is.", N_("Check how the name is spelt; an administrator knows who there is.")
    ),
    Advice(
        "sirdar group list shows yours.",
        N_("Check how the name is spelt; an administrator knows which groups there are."),
    ),
    Advice("An administrator grants it: sirdar user set NAME --publish.", _MAY_PUBLISH),
    Advice(
        "It comes with the right to publish, which an administrator grants: sirdar user set NAME --publish.",
        N_("It comes with the right to publish, which an administrator grants."),
    ),
    Advice(
        "Sign in there. An administrator makes a local account with: sirdar user create NAME",
        N_("Sign in there, or ask an administrator for an account of this server."),
    ),
    Advice(
        "Ask for a new one: sirdar user login-link NAME, or an administrator.",
        N_("Ask an administrator for a new one."),
    ),
    Advice("To run nothing there: sirdar up --slots 0, or drain it.", N_("To run nothing there, drain it.")),
    Advice("Attach a machine: sirdar resource create NAME.", N_("%(link)sAttach a machine%(end)s."), "/resources"),
    Advice(
        "No resource is attached: start 'sirdar up' or attach a machine.",
        N_("No resource is attached; whoever may publish attaches machines on the page %(link)sResources%(end)s."),
        "/resources",
    ),
    Advice("Begin another: POST /api/files/uploads.", N_("Add the file again.")),
    Advice(
        "Which jobs? Give their ids, or a filter.",
        N_("Choose jobs in %(link)sthe list%(end)s, or set a filter there."),
        "/jobs",
    ),
    Advice("Leave 'only' out to submit all of it again.", N_("'The same again' submits all of it.")),
)
