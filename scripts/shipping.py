"""What scripts/image-test and scripts/package-test share: a base of Debian, a network with loopback alone, session tokens,
and a video through the API."""

import base64
import json
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 180
ISSUER = "https://issuer.test"
ISSUER_PORT = 8099
JWKS_URL = f"http://127.0.0.1:{ISSUER_PORT}/jwks.json"
# The name of the test that uses this, for its messages and its network.
NAME = pathlib.Path(sys.argv[0]).name


def fail(message):
    sys.exit(f"{NAME}: {message}")


def run(*command, **options):
    """Runs a command, and returns what it wrote; ends with its last lines if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines()[-15:]
        fail(f"`{' '.join(map(str, command))[:300]}` failed with {done.returncode}:\n" + "\n".join(lines))
    return done.stdout.strip()


def until(what, is_done, patience=PATIENCE_SECONDS):
    deadline = time.monotonic() + patience
    while not (result := is_done()):
        if time.monotonic() > deadline:
            fail(f"{what}: not within {patience} s")
        time.sleep(0.5)
    return result


def say(line):
    print(f"{NAME}: {line}", flush=True)


def make_base(folder):
    """Makes a folder with the root of a small Debian 12, without documents and caches."""
    run("debootstrap", "--variant=minbase", "bookworm", folder, "http://deb.debian.org/debian")
    for path in ["usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists"]:
        shutil.rmtree(folder / path, ignore_errors=True)
        (folder / path).mkdir()
    (folder / "etc/apt/sources.list").write_text(
        "deb http://deb.debian.org/debian bookworm main\n"
        "deb http://deb.debian.org/debian-security bookworm-security main\n"
    )


def remove_network():
    subprocess.run(["ip", "netns", "del", NAME], capture_output=True)


def make_network():
    """Makes a network that has loopback alone."""
    remove_network()
    run("ip", "netns", "add", NAME)
    run("ip", "-n", NAME, "link", "set", "lo", "up")


def in_network(*command):
    return ["ip", "netns", "exec", NAME, *map(str, command)]


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Signs session tokens, and serves its key in the network."""

    def __init__(self, scratch):
        self.key = scratch / "issuer.pem"
        run("openssl", "genrsa", "-out", self.key, "2048")
        modulus = bytes.fromhex(run("openssl", "rsa", "-in", self.key, "-noout", "-modulus").split("=")[1])
        folder = scratch / "issuer"
        folder.mkdir()
        key = {"kty": "RSA", "kid": "test", "alg": "RS256", "use": "sig", "n": encoded(modulus), "e": "AQAB"}
        (folder / "jwks.json").write_text(json.dumps({"keys": [key]}))
        server = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(folder), str(ISSUER_PORT)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.server = subprocess.Popen(in_network(*server), **quiet)

    def token(self):
        now = int(time.time())
        claims = {"iss": ISSUER, "sub": "user_shipping", "sid": "sess_1", "iat": now, "nbf": now - 5, "exp": now + 3600}
        parts = [encoded(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": "test", "typ": "JWT"}, claims)]
        signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key], input=".".join(parts).encode(), capture_output=True, check=True)
        return ".".join([*parts, encoded(signed.stdout)])


def ask(token, path, body=None, out=None):
    command = in_network("curl", "--silent", "--show-error", "--fail-with-body", "--location",
                         "-H", f"Authorization: Bearer {token}", f"http://127.0.0.1:8080{path}")
    if body is not None:
        command += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    if out is not None:
        command += ["--output", out]
    answer = run(*command)
    return json.loads(answer) if out is None else None


def make_video(token, scratch):
    script = (ROOT / "examples/event-sourcing.md").read_text()
    job = ask(token, "/api/v1/videos/generate", {"topic": "Event sourcing", "script": script})["job_id"]
    began = time.monotonic()

    def ended():
        status = ask(token, f"/api/v1/videos/jobs/{job}/status")
        return status if status["status"] in ("completed", "failed", "cancelled") else None

    status = until("the video is ready", ended, 600)
    if status["status"] != "completed":
        fail(f"the job ended as {status['status']}: {json.dumps(status)[:500]}")
    video = scratch / "video.mp4"
    ask(token, f"/api/v1/videos/jobs/{job}/download", out=video)
    probed = json.loads(run("ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", video))
    codecs = sorted(stream["codec_name"] for stream in probed["streams"] if stream["codec_type"] in ("video", "audio"))
    duration = float(probed["format"]["duration"])
    if codecs != ["aac", "h264"] or duration < 20:
        fail(f"the video has {codecs} and {duration:.1f} s, expected aac and h264, and at least 20 s")
    say(f"made a video of {duration:.1f} s in {time.monotonic() - began:.1f} s")
