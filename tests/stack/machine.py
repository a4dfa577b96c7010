"""What the stack's tests run on: the local system and an AWS emulator, each a process on loopback.

Everything is started by the test that needs it, on free ports, and ended with it.
"""

import contextlib
import json
import os
import pathlib
import platform
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request

PROJECT = pathlib.Path(__file__).resolve().parents[2]
TARGET = PROJECT / "target"
REFERENCE = PROJECT / "local" / "reference-integration.json"
RECIPES = PROJECT / "docs" / "recipes"
EVENTS = PROJECT / "events"
# What `sam build` made.
BUILT = TARGET / "sam" / "build"
LOGS = TARGET / "stack"

FUNCTIONS = {
    "ContactStart": "contact-start",
    "ContactAnswered": "contact-answered",
    "ContactEnd": "contact-end",
    "RecordingAvailable": "recording-available",
    "ContactCompleted": "contact-completed",
    "Redelivery": "redelivery",
}


# What `uname -m` and ELF call the processors that functions are built for.
MACHINES = {"x86_64": 62, "aarch64": 183}
# Where Debian has what programs for arm64 are linked with (libc6-arm64-cross, libgcc-s1-arm64-cross).
ARM64_LIBRARIES = pathlib.Path("/usr/aarch64-linux-gnu")


def elf_machine(program):
    """The processor that a program was built for, as ELF numbers them."""
    with open(program, "rb") as file:
        return int.from_bytes(file.read(20)[18:20], "little")


def to_run(program):
    """The command that runs a program here, whatever processor it was built for; none if that cannot be."""
    machine = elf_machine(program)
    if machine == MACHINES[platform.machine()]:
        return [str(program)]
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if machine == MACHINES["aarch64"] and emulator and ARM64_LIBRARIES.exists():
        return [emulator, "-L", str(ARM64_LIBRARIES), str(program)]
    return None


def built_functions_run():
    """Whether the functions that `sam build` made can be run here."""
    return to_run(BUILT / "ContactStart" / "bootstrap") is not None


def batch(*events):
    """Events as Lambda takes them out of a queue and hands them to a function."""
    return {
        "Records": [
            {
                "messageId": f"message-{number}",
                "receiptHandle": f"handle-{number}",
                "body": json.dumps(event),
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:example",
                "awsRegion": "us-east-1",
            }
            for number, event in enumerate(events)
        ]
    }


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def event(name):
    return json.loads((EVENTS / f"{name}.json").read_text())


def wait(what, condition, seconds=30):
    """The first value of the condition that is not nothing; fails after so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"after {seconds} s there is still no {what}")


def http(url, body=None, method=None):
    """The JSON that a URL answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=70) as answer:
        text = answer.read().decode()
    return json.loads(text) if text else None


def accepts_connections(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def process(name, command, env=None):
    """A process, with its output in a file of target/stack."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{name}.log"
    with log.open("w") as output:
        running = subprocess.Popen(
            [str(part) for part in command],
            cwd=PROJECT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield running, log
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


class LocalSystem:
    """`cargo run -p local -- serve`: the stand-ins and DynamoDB."""

    def __init__(self, addresses):
        self.aws = addresses["AWS's other services"]
        self.dataverse = addresses["Dataverse"]
        self.entra = addresses["Entra ID"]

    def record(self, contact_id):
        """The phone call whose id is the contact's, or nothing."""
        records = self.records("phonecalls")
        return next((record for record in records if record["activityid"] == contact_id), None)

    def records(self, entity_set):
        """All records of an entity set."""
        return http(f"{self.dataverse}/stand-in/records").get(entity_set, [])

    def put_object(self, bucket, key, content):
        """Puts an object where the functions find it, as JSON."""
        http(f"{self.aws}/{bucket}/{urllib.parse.quote(key)}", content, method="PUT")

    def fail(self, times, status=503):
        """Makes Dataverse refuse the next requests."""
        http(f"{self.dataverse}/stand-in/faults", {"times": times, "effect": {"status": {"status": status}}})

    def heal(self):
        http(f"{self.dataverse}/stand-in/faults", method="DELETE")

    def calls(self):
        """Which of AWS's actions each function has used, by its name."""
        return {name: set(actions) for name, actions in http(f"{self.aws}/stand-in/calls").items()}


@contextlib.contextmanager
def local_system(*options, config=REFERENCE):
    """The local system, on free ports unless its options say otherwise, with its own configuration when none
    is named."""
    options = options or ("--port", "0")
    if config:
        options = ("--config", config, *options)
    with process("local", [TARGET / "debug" / "local", "serve", *options]) as (
        running,
        log,
    ):

        def addresses():
            assert running.poll() is None, log.read_text()
            text = log.read_text()
            return "The functions' log:" in text and dict(
                re.findall(r"^  (\S.*?) +(http://\S+)$", text, re.MULTILINE)
            )

        # It builds what is not built yet.
        yield LocalSystem(wait("local system", addresses, 600))


@contextlib.contextmanager
def emulator(amazon_connect):
    """ministack, an AWS emulator that holds roles to their policies, with what stands in for Amazon Connect
    at this URL. Yields its URL."""
    port = free_port()
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(LOGS),
        "TMPDIR": str(LOGS),
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        # For the functions that it runs.
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ENDPOINT_URL_CONNECT": amazon_connect,
        "GATEWAY_PORT": str(port),
    }
    LOGS.mkdir(parents=True, exist_ok=True)
    python = TARGET / "tools" / "python" / "ministack" / "bin" / "python"
    with process(
        "ministack", [python, pathlib.Path(__file__).with_name("ministack_for_connect.py")], env
    ) as (running, log):

        def ready():
            assert running.poll() is None, log.read_text()
            return accepts_connections(port)

        wait("emulator", ready, 60)
        yield f"http://127.0.0.1:{port}"
