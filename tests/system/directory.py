"""A real OpenLDAP server (slapd) on free ports of loopback, with a few people and groups, and certificates of its own."""

import base64
import datetime
import ipaddress
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BASE = "dc=example,dc=org"
READER = f"cn=reader,{BASE}"
READER_PASSWORD = "reader secret 23"
PASSWORD = "yak butter tea"

CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {root}/slapd.pid
TLSCertificateFile {root}/server.crt
TLSCertificateKeyFile {root}/server.key
{security}
database mdb
suffix "{base}"
rootdn "cn=root,{base}"
rootpw "{reader_password}"
directory {root}/data
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{reader}" read by * none
"""

ENTRIES = """
dn: {base}
objectClass: organization
objectClass: dcObject
o: Example
dc: example

dn: {reader}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: {reader_password}

dn: ou=people,{base}
objectClass: organizationalUnit
ou: people

dn: ou=groups,{base}
objectClass: organizationalUnit
ou: groups
"""


def person(uid: str, *, password: str | None = PASSWORD, cn: str | None = None, **more: str) -> str:
    """An entry; with ``cn`` it is named by that, else by its uid."""
    first = f"cn={escaped(cn)}" if cn else f"uid={uid}"
    lines = [line("dn", f"{first},ou=people,{BASE}"), "objectClass: inetOrgPerson", f"uid: {uid}"]
    lines += [line("cn", cn or uid), f"sn: {uid}", *([f"userPassword: {password}"] if password else [])]
    return "\n".join([*lines, *(line(name, value) for name, value in more.items())]) + "\n"


def group(cn: str, *members: str) -> str:
    lines = [line("dn", f"cn={escaped(cn)},ou=groups,{BASE}"), "objectClass: groupOfNames", line("cn", cn)]
    return "\n".join(lines + [line("member", f"{member},ou=people,{BASE}") for member in members]) + "\n"


def escaped(value: str) -> str:
    """A value as it stands in a DN (RFC 4514)."""
    return "".join(f"\\{char}" if char in ',;=+<>#\\"' else char for char in value)


def line(name: str, value: str) -> str:
    """A line of LDIF; what is not ASCII stands in base64."""
    return f"{name}: {value}" if value.isascii() else f"{name}:: {base64.b64encode(value.encode()).decode()}"


@dataclass
class Slapd:
    """The running server. Where both ports are the same it offers no ldaps."""

    root: Path
    port: int
    tls_port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def ca(self) -> Path:
        return self.root / "ca.crt"

    def start(self) -> None:
        urls = f"ldap://127.0.0.1:{self.port}"
        if self.tls_port != self.port:
            urls += f" ldaps://127.0.0.1:{self.tls_port}"
        with (self.root / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["/usr/sbin/slapd", "-d", "0", "-f", self.root / "slapd.conf", "-h", urls],
                cwd=self.root,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 20
        while not _answers(self.port):
            assert self.process.poll() is None and time.monotonic() < deadline, (self.root / "log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def change(self, ldif: str) -> None:
        """Change entries, as the directory's administrator does, with its own tool beside the running server."""
        self.stop()
        _run("slapmodify", self.root, ldif)
        self.start()


def _run(tool: str, root: Path, ldif: str) -> None:
    words = [f"/usr/sbin/{tool}", "-f", root / "slapd.conf", "-b", BASE]
    done = subprocess.run(words, input=ldif, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running_slapd(root: Path, entries: str, *, secured: bool = True) -> Iterator[Slapd]:
    """``secured``: it takes no password over a plain connection."""
    (root / "data").mkdir(parents=True)
    _make_certificates(root)
    names = {"root": root, "base": BASE, "reader": READER, "reader_password": READER_PASSWORD}
    (root / "slapd.conf").write_text(CONFIG.format(**names, security="security simple_bind=128" if secured else ""))
    _run("slapadd", root, ENTRIES.format(**names) + "\n" + entries)
    ports = _free_ports()
    slapd = Slapd(root, *ports)
    slapd.start()
    try:
        yield slapd
    finally:
        slapd.stop()
        shutil.rmtree(root / "data")


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def _make_certificates(root: Path) -> None:
    """An authority and a certificate for 127.0.0.1 by it, for an hour."""
    now = datetime.datetime.now(datetime.UTC)
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "directory")])

    def build(name: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(public)
        made = made.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        return made.not_valid_after(now + datetime.timedelta(hours=1))

    ca = build(issuer, authority.public_key()).add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    server = build(subject, key.public_key()).add_extension(address, False)
    pem = serialization.Encoding.PEM
    (root / "ca.crt").write_bytes(ca.sign(authority, hashes.SHA256()).public_bytes(pem))
    (root / "server.crt").write_bytes(server.sign(authority, hashes.SHA256()).public_bytes(pem))
    text = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (root / "server.key").write_bytes(text)
