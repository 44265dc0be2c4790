"""Rules for names that people choose: inputs, aliases, environment variables, relative paths, references of git."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

INPUT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
ALIAS = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
MAX_PATH_BYTES = 1024
MAX_NAME_BYTES = 255

# Variables that change which program runs, or what it loads before its first line: never filled from a submitter's value.
_RESERVED_ENV_TEXT = """
    PATH IFS ENV CDPATH SHELL SHELLOPTS BASHOPTS GLOBIGNORE HOME PWD OLDPWD TMPDIR PS1 PS2 PS4 PPID UID EUID USER
    LOGNAME PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONINSPECT PYTHONUSERBASE PYTHONEXECUTABLE PYTHONBREAKPOINT
    PYTHONWARNINGS PERL5LIB PERL5OPT PERL5DB PERLLIB RUBYLIB RUBYOPT NODE_OPTIONS NODE_PATH JAVA_TOOL_OPTIONS
    _JAVA_OPTIONS JDK_JAVA_OPTIONS CLASSPATH R_PROFILE R_PROFILE_USER R_ENVIRON R_ENVIRON_USER R_LIBS LUA_INIT LUA_PATH
    JULIA_LOAD_PATH JULIA_DEPOT_PATH OCTAVE_PATH GCONV_PATH LOCPATH NLSPATH HOSTALIASES MALLOC_TRACE OPENSSL_CONF EDITOR
    PAGER"""
_RESERVED_ENV = frozenset(_RESERVED_ENV_TEXT.split())
_RESERVED_ENV_PREFIXES = ("LD_", "DYLD_", "BASH_", "GIT_")
_PLATFORM_PREFIXES = ("SIRDAR_", "EVEREST_")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def is_platform_env(name: str) -> bool:
    """True for variables that Sirdar itself sets for a task: nobody else may."""
    return name.upper().startswith(_PLATFORM_PREFIXES)


def is_reserved_env(name: str) -> bool:
    """True for variables that a submitter's value may never reach."""
    return name in _RESERVED_ENV or name.startswith(_RESERVED_ENV_PREFIXES) or is_platform_env(name)


def closest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that ``word`` was probably meant to be, or None."""
    by_fold = {choice.casefold().replace("_", "-"): choice for choice in choices}
    found = get_close_matches(word[:80].casefold().replace("_", "-"), by_fold, n=1, cutoff=0.6)
    return by_fold[found[0]] if found else None


def path_fault(path: str) -> str | None:
    """Why ``path`` is not a relative path inside a task's directory, or None where it is one."""
    if not path or path == ".":
        return "is empty"
    if len(path.encode(errors="replace")) > MAX_PATH_BYTES:
        return f"is longer than {MAX_PATH_BYTES} bytes"
    if _CONTROL.search(path) or not is_text(path):
        return "holds control characters"
    if "\\" in path:
        return "holds a backslash; write forward slashes"
    if path.startswith(("/", "~")) or re.match(r"[A-Za-z]:", path):
        return "is not relative to the task's directory"
    if ".." in path.split("/"):
        return "leads out of the task's directory by '..'"
    return None


def file_name_fault(name: str) -> str | None:
    """Why ``name`` cannot be the name of a file, or None where it can."""
    if not name or name in {".", ".."}:
        return "is no file name"
    if "/" in name or "\\" in name or _CONTROL.search(name) or not is_text(name):
        return "holds a slash or control characters"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    return None


def ref_fault(ref: str) -> str | None:
    """Why ``ref`` cannot name a commit, branch or tag, or None where it can.

    To be asked again when a ref has been filled in from an input: a leading dash would be read as an option of git.
    """
    if not ref or len(ref) > 200:
        return "is empty or longer than 200 characters"
    if ref.startswith(("-", "/")) or ref.endswith(("/", ".lock", ".")):
        return "begins or ends with a character that git does not allow there"
    if re.search(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//", ref) or not is_text(ref):
        return "holds characters that git does not allow in a ref"
    return None


def is_text(text: str) -> bool:
    """False where ``text`` holds half a surrogate pair, which no encoding can write."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
