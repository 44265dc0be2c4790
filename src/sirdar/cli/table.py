"""All commands: where they stand in the help, what they are for, examples. Data only, so that ``--help`` is instant."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """One command. ``target`` is ``module:function`` below ``sirdar.cli``."""

    words: tuple[str, ...]
    target: str
    summary: str
    examples: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading of the first help page, and what stands below it: commands and nouns, in this order."""

    title: str
    members: tuple[str, ...]


NOUNS: dict[str, str] = {
    "app": "Applications: show, find, share, archive, move between servers",
    "job": "Jobs: list, follow, cancel, repeat, share",
    "file": "Files on the server",
    "token": "Tokens of your own, for programs",
    "user": "Users (administrators)",
    "group": "Groups of users",
    "resource": "Machines that run jobs",
    "agent": "This machine, as one that runs jobs",
    "optim": "Solvers of optimisation problems on this machine",
}

SECTIONS: tuple[Section, ...] = (
    Section("Start", ("up", "serve", "login", "logout", "open", "doctor")),
    Section("Publish", ("init", "publish", "app")),
    Section("Run", ("run", "sweep", "job", "plot", "explain", "file", "status")),
    Section("People and machines", ("token", "user", "group", "resource", "agent", "optim")),
    Section("Keep", ("migrate", "backup", "restore", "promote", "version")),
)


def _c(words: str, target: str, summary: str, *examples: str) -> Command:
    return Command(tuple(words.split()), target, summary, examples)


COMMANDS: tuple[Command, ...] = (
    _c(
        "up",
        "serve:up",
        "Start a server here, with a machine that runs jobs",
        "sirdar up",
        "sirdar up --home /srv/sirdar --port 8200 --slots 8",
        "sirdar up --host 0.0.0.0 --insecure",
    ),
    _c(
        "serve",
        "serve:serve",
        "Start a server without an agent, one of several over a PostgreSQL",
        "sirdar serve --home /srv/sirdar",
        "sirdar serve --home /srv/sirdar --database postgresql://sirdar@db.example.org/sirdar --port 8201",
    ),
    _c(
        "login",
        "login:login",
        "Sign in to a server and keep its token",
        "sirdar login https://sirdar.example.org",
        "sirdar login https://sirdar.example.org --user anna",
        "sirdar login https://sirdar.example.org --token -",
    ),
    _c("logout", "login:logout", "Revoke the kept token and forget it", "sirdar logout"),
    _c(
        "open",
        "login:open_page",
        "Open the server, a job or an application in the browser",
        "sirdar open",
        "sirdar open last",
    ),
    _c(
        "doctor",
        "serve:doctor",
        "Check this installation and the server, and repair what can be",
        "sirdar doctor",
        "sirdar doctor --fix",
    ),
    _c(
        "init",
        "init:init",
        "Write sirdar.yaml for a program, from a few questions or flags",
        "sirdar init",
        "sirdar init sums --command 'python sums.py ${data}' -i data:file -o total:number=result.json#total",
    ),
    _c(
        "publish",
        "publish:publish",
        "Publish a folder with its sirdar.yaml as a new version",
        "sirdar publish",
        "sirdar publish sums --as sums-test",
        "sirdar publish model --git https://git.example.org/lab/model.git --ref v2.1  # by model/sirdar.yaml",
        "sirdar publish model --gitlab lab/model --ref main --artifact build/model --job build",
    ),
    _c(
        "app list",
        "apps:list_apps",
        "Applications that you may run",
        "sirdar app list",
        "sirdar app list --owner me --text sum",
    ),
    _c("app search", "apps:search", "Find applications by a part of their name", "sirdar app search ipopt"),
    _c(
        "app show",
        "apps:show",
        "Inputs, outputs and command of an application",
        "sirdar app show me/sumsq",
        "sirdar app show me/sumsq@3 --source",
    ),
    _c("app versions", "apps:versions", "Versions of an application", "sirdar app versions me/sumsq"),
    _c(
        "app share",
        "apps:share",
        "Let others run or see an application, or list who may",
        "sirdar app share me/sumsq",
        "sirdar app share me/sumsq anna group:lab",
        "sirdar app share me/sumsq everyone --permission view",
        "sirdar app share me/sumsq anna --revoke",
    ),
    _c(
        "app export",
        "apps:export",
        "Download an application as a zip, Everest's form",
        "sirdar app export me/sumsq -o sumsq.zip",
    ),
    _c(
        "app import",
        "apps:import_app",
        "Publish an exported application, Sirdar's or Everest's",
        "sirdar app import sumsq.zip",
    ),
    _c(
        "app archive",
        "apps:archive",
        "Hide an application; its jobs stay",
        "sirdar app archive me/sumsq",
        "sirdar app archive me/sumsq --undo",
    ),
    _c(
        "app secret set",
        "apps:secret_set",
        "Keep a secret of an application; the value is read from standard input",
        'printf %s "$KEY" | sirdar app secret set me/sumsq API_KEY',
    ),
    _c(
        "app secret unset",
        "apps:secret_unset",
        "Forget a secret of an application",
        "sirdar app secret unset me/sumsq API_KEY",
    ),
    _c(
        "app openapi",
        "apps:openapi",
        "The application's own OpenAPI document",
        "sirdar app openapi me/sumsq > sumsq.json",
    ),
    _c(
        "run",
        "run:run",
        "Run an application",
        "sirdar run me/sumsq -i data=@a.csv -i power=2 --wait",
        "sirdar run me/sumsq --inputs inputs.json --wait --download results/",
        "sirdar run me/sumsq -i data=@a.csv --foreach rows.jsonl",
    ),
    _c(
        "sweep",
        "sweep:sweep",
        "Run an application for each combination of inputs' values",
        "sirdar sweep me/sumsq -i data=@a.csv -i power=1..9 --wait",
        "sirdar sweep me/fit -i alpha=0.001..10:*10 -i model=linear,spline --where 'alpha < 1'",
        "sirdar sweep me/fit -i x=1,2,3 -i y=7,8,9 --zip",
    ),
    _c(
        "job list",
        "jobs:list_jobs",
        "Jobs, newest first",
        "sirdar job list",
        "sirdar job list --state failed --since 2026-11-01",
        "sirdar job list --app me/sumsq --limit 200 --json",
    ),
    _c(
        "job show",
        "jobs:show",
        "How a job stands, its inputs and outputs",
        "sirdar job show last",
        "sirdar job show 7f3k2a --json",
    ),
    _c("job watch", "jobs:watch", "Follow a job until it ends", "sirdar job watch last"),
    _c(
        "job logs",
        "jobs:logs",
        "What the program wrote",
        "sirdar job logs last",
        "sirdar job logs last --follow --stream both",
        "sirdar job logs last --task 12 --stream stderr",
    ),
    _c(
        "job events",
        "jobs:events",
        "The job's story, one line for each event",
        "sirdar job events last",
        "sirdar job events last --follow --json",
    ),
    _c(
        "job tasks",
        "job_tasks:tasks",
        "Tasks of a job",
        "sirdar job tasks last",
        "sirdar job tasks last --state failed",
        "sirdar job tasks last --sort runS",
        "sirdar job tasks last --wide | less -S",
    ),
    _c("job failures", "job_tasks:failures", "Why tasks of a job failed", "sirdar job failures last"),
    _c(
        "job table",
        "job_tasks:table",
        "All tasks of a job with their inputs and outputs, as CSV",
        "sirdar job table last > fits.csv",
    ),
    _c("job children", "jobs:children", "Jobs that a job's tasks submitted", "sirdar job children last"),
    _c(
        "job download",
        "jobs:download",
        "Download a job's output files",
        "sirdar job download last",
        "sirdar job download last --to results/",
    ),
    _c(
        "job cancel",
        "jobs:cancel",
        "End jobs that have not ended",
        "sirdar job cancel last",
        "sirdar job cancel --app me/svf --state ready",
    ),
    _c(
        "job delete",
        "jobs:delete",
        "Remove jobs and their files; running ones are cancelled first",
        "sirdar job delete last",
        "sirdar job delete --name 'night run'",
        "sirdar job delete --state failed --until 2026-11-01",
    ),
    _c(
        "job resubmit",
        "jobs:resubmit",
        "Run a job again, with some inputs changed",
        "sirdar job resubmit last",
        "sirdar job resubmit last -i power=3 --latest --wait",
        "sirdar job resubmit last --failed",
    ),
    _c(
        "job share",
        "jobs:share",
        "Let others see a job, by name or by a link",
        "sirdar job share last anna group:lab",
        "sirdar job share last --link",
        "sirdar job share last anna --revoke",
    ),
    _c(
        "plot",
        "plot:plot",
        "Draw a job's values over its parameters: PNG, SVG or PDF",
        "sirdar plot last",
        "sirdar plot last --x beta --y loss --by order -o loss.svg",
        "sirdar plot last --kind parallel --y loss --log y -o all.png",
    ),
    _c("explain", "jobs:explain", "Why a job waits, or why it ended so", "sirdar explain last"),
    _c("file upload", "files:upload", "Upload files for later use as inputs", "sirdar file upload a.csv b.csv"),
    _c(
        "file download",
        "files:download",
        "Download a file by its URI",
        "sirdar file download /api/files/jobs/7f3k2a/plot.png --to plots/",
    ),
    _c(
        "file list",
        "files:list_members",
        "What an archive on the server holds",
        "sirdar file list /api/files/jobs/7f3k2a/results.zip",
    ),
    _c("file delete", "files:delete", "Remove files from the server", "sirdar file delete /api/files/temp/2x7/a.csv"),
    _c(
        "status",
        "status:status",
        "Say from within a task how it goes",
        "sirdar status 'fold 3 of 7'",
        "sirdar status --progress 0.4 --metric loss=0.2",
    ),
    _c("token list", "people:token_list", "Your tokens", "sirdar token list"),
    _c(
        "token create",
        "people:token_create",
        "Make a token; it is shown once",
        "sirdar token create ci --lifetime 90d --scope run",
    ),
    _c("token revoke", "people:token_revoke", "Make tokens worthless", "sirdar token revoke 4k2m"),
    _c("user list", "people:user_list", "Users", "sirdar user list"),
    _c("user show", "people:user_show", "A user, or yourself", "sirdar user show", "sirdar user show anna"),
    _c(
        "user create",
        "people:user_create",
        "Make a user; without a password a one-time login link is printed",
        "sirdar user create anna --publish",
    ),
    _c(
        "user set",
        "people:user_set",
        "Change a user's rights and quotas",
        "sirdar user set anna --publish --max-jobs 200 --max-size 50GB",
    ),
    _c(
        "user disable",
        "people:user_disable",
        "Shut a user out",
        "sirdar user disable anna",
        "sirdar user disable anna --undo",
    ),
    _c("user login-link", "people:login_link", "A one-time link that signs a user in", "sirdar user login-link anna"),
    _c("group list", "people:group_list", "Groups", "sirdar group list"),
    _c("group create", "people:group_create", "Make a group", "sirdar group create lab"),
    _c("group add", "people:group_add", "Add users to a group", "sirdar group add lab anna boris"),
    _c("group remove", "people:group_remove", "Take users out of a group", "sirdar group remove lab boris"),
    _c("group delete", "people:group_delete", "Remove a group", "sirdar group delete lab"),
    _c(
        "resource list",
        "resources:list_resources",
        "Machines that run jobs, and how they stand",
        "sirdar resource list",
    ),
    _c(
        "resource show",
        "resources:show_resource",
        "A machine: what it has and what is free",
        "sirdar resource show lab",
    ),
    _c(
        "resource create",
        "resources:create_resource",
        "Attach a machine: prints the command for it",
        "sirdar resource create lab",
        "sirdar resource create laptop --lost-after 1h",
    ),
    _c(
        "resource join",
        "resources:join_resource",
        "Attach the machine anew, or another one",
        "sirdar resource join lab",
    ),
    _c("resource rename", "resources:rename_resource", "Another name", "sirdar resource rename lab lab-1"),
    _c("resource set", "resources:set_resource", "Change settings", "sirdar resource set lab --lost-after 30min"),
    _c(
        "resource share",
        "resources:share_resource",
        "Let others run jobs on a machine",
        "sirdar resource share lab anna group:hydro",
        "sirdar resource share lab anna --revoke",
        "sirdar resource share lab",
    ),
    _c("resource drain", "resources:drain_resource", "Take nothing new", "sirdar resource drain lab"),
    _c("resource resume", "resources:resume_resource", "Take work again", "sirdar resource resume lab"),
    _c("resource revoke", "resources:revoke_resource", "End its access at once", "sirdar resource revoke lab"),
    _c("resource delete", "resources:delete_resource", "Revoke it and free its name", "sirdar resource delete lab"),
    _c(
        "resource token create",
        "resources:create_token",
        "A token for a throw-away container or VM",
        "sirdar resource token create cloud --lifetime 1d",
    ),
    _c("resource token list", "resources:list_tokens", "A resource's tokens", "sirdar resource token list cloud"),
    _c(
        "resource token revoke",
        "resources:revoke_token",
        "Make one worthless",
        "sirdar resource token revoke cloud 3kq9",
    ),
    _c(
        "agent join",
        "agent:join",
        "Attach this machine to a server, by the token that `sirdar resource create` prints",
        "sirdar agent join https://sirdar.example.org --token j1.x7...",
    ),
    _c(
        "agent start",
        "agent:start",
        "Run jobs on this machine, until Ctrl-C",
        "sirdar agent start",
        "sirdar agent start --slots 4 --label site=lab",
        "SIRDAR_URL=https://sirdar.example.org SIRDAR_TOKEN=r1.x7... MAX_TASKS=4 sirdar agent start",
    ),
    _c("agent install", "agent:install", "Write a systemd user unit that runs it", "sirdar agent install --slots 4"),
    _c("agent status", "agent:status", "How the agent on this machine stands", "sirdar agent status"),
    _c("agent logs", "agent:logs", "What it did", "sirdar agent logs", "sirdar agent logs --follow"),
    _c(
        "agent drain",
        "agent:drain",
        "Take nothing new; what is here is finished",
        "sirdar agent drain",
        "sirdar agent drain --undo",
    ),
    _c(
        "agent leave", "agent:leave", "Detach this machine for good", "sirdar agent leave", "sirdar agent leave --force"
    ),
    _c(
        "optim install",
        "optim:install",
        "Make commands for the solvers that this machine can have",
        "sirdar optim install",
        "SIRDAR_SOLVERS=/opt/solvers sirdar optim install",
    ),
    _c(
        "optim solvers",
        "optim:solvers",
        "The solvers here, and a small problem solved with each",
        "sirdar optim solvers",
        "sirdar optim solvers --json",
    ),
    _c(
        "migrate",
        "serve:migrate",
        "Bring a database to this release's schema",
        "sirdar migrate",
        "sirdar migrate --check --database postgresql://sirdar@db.example.org/sirdar",
    ),
    _c(
        "backup",
        "serve:backup",
        "Copy all that a server keeps, while it runs",
        "sirdar backup /mnt/backup/sirdar.tar",
        "sirdar backup sirdar.tar --home /srv/sirdar --database postgresql://sirdar@db.example.org/sirdar",
    ),
    _c(
        "restore",
        "serve:restore",
        "Make a home from a backup",
        "sirdar restore /mnt/backup/sirdar.tar --home /srv/sirdar",
    ),
    _c(
        "promote",
        "serve:promote",
        "Move a home from SQLite to PostgreSQL",
        "sirdar promote --home /srv/sirdar --database postgresql://sirdar@db.example.org/sirdar",
    ),
    _c("version", "login:version", "Versions of this program and of the server", "sirdar version"),
)

BY_WORDS: dict[tuple[str, ...], Command] = {command.words: command for command in COMMANDS}


def below(words: tuple[str, ...]) -> list[Command]:
    """Commands that begin with these words."""
    return [command for command in COMMANDS if command.words[: len(words)] == words]
