"""The sandbox's certificate authority and its certificates, made with the openssl command line.

`server` is the good one; the others each have one fault: `expired`, `not_yet`, `wrong_host`, and
`self_signed`, which our authority did not issue.
"""

import pathlib
import ssl
import subprocess

NAMES = ("localhost", "api.canopy.test", "*.canopy.test")
GOOD = "subjectAltName=IP:127.0.0.1," + ",".join("DNS:" + name for name in NAMES)
ISSUED = {
    "server": (GOOD, ("-days", "3650")),
    "wrong_host": ("subjectAltName=DNS:elsewhere.example", ("-days", "3650")),
    "expired": (GOOD, ("-startdate", "20200101000000Z", "-enddate", "20210101000000Z")),
    "not_yet": (GOOD, ("-startdate", "20900101000000Z", "-enddate", "20910101000000Z")),
}
CONFIG = """[ca]
default_ca = sandbox
[sandbox]
database = {0}/index.txt
new_certs_dir = {0}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = names
copy_extensions = copy
x509_extensions = leaf
[names]
commonName = supplied
[leaf]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = serverAuth
"""


def openssl(*arguments):
    subprocess.run(("openssl", *map(str, arguments)), check=True, capture_output=True)


def new_key():
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def make(directory):
    """Writes ca.pem into the directory and everything else into its `tls` subdirectory."""
    place = pathlib.Path(directory) / "tls"
    place.mkdir(parents=True, exist_ok=True)
    config = place / "ca.cnf"
    config.write_text(CONFIG.format(place))
    (place / "index.txt").write_text("")
    authority = pathlib.Path(directory) / "ca.pem"
    openssl("req", "-x509", *new_key(), "-keyout", place / "ca.key", "-out", authority, "-days", "3650",
            "-subj", "/CN=Sandbox CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    for name, (alternative_names, validity) in ISSUED.items():
        request = place / f"{name}.csr"
        openssl("req", "-new", *new_key(), "-keyout", place / f"{name}.key", "-out", request,
                "-subj", f"/CN={name}", "-addext", alternative_names)
        openssl("ca", "-batch", "-notext", "-config", config, "-cert", authority, "-keyfile", place / "ca.key",
                "-in", request, "-out", place / f"{name}.pem", *validity)
    openssl("req", "-x509", *new_key(), "-keyout", place / "self_signed.key", "-out", place / "self_signed.pem",
            "-days", "3650", "-subj", "/CN=localhost", "-addext", GOOD)
    return place


def context(place, name="server", old_tls=False):
    """A server context for one of the certificates; `old_tls` offers TLS 1.0 and 1.1 only."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(place / f"{name}.pem", place / f"{name}.key")
    if old_tls:
        made.set_ciphers("DEFAULT:@SECLEVEL=0")
        made.minimum_version = ssl.TLSVersion.TLSv1
        made.maximum_version = ssl.TLSVersion.TLSv1_1
    else:
        made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    return made
