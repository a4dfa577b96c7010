"""podman, for what runs in containers: with images, networks and limits of its own, in target/.

It serves Docker's API, which SAM speaks. Everything that is started ends with the test.
"""

import contextlib
import json
import os
import shutil
import subprocess

from machine import TARGET, process, wait

# A Debian with certificates, which tests/run makes. It stands in for Lambda's image.
DEBIAN = TARGET / "tools" / "debian.tar"
FOLDER = TARGET / "containers"
SOCKET = FOLDER / "podman.sock"

# Every path is below target/, so that podman's own containers on this machine are left alone. Without
# default_ulimits it asks for more than a process may that lacks CAP_SYS_RESOURCE.
CONFIGURATION = f"""
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
static_dir = "{FOLDER}/static"
tmp_dir = "{FOLDER}/tmp"
volume_path = "{FOLDER}/volumes"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[network]
network_config_dir = "{FOLDER}/networks"
"""
STORAGE = f"""
[storage]
driver = "overlay"
graphroot = "{FOLDER}/images"
runroot = "{FOLDER}/run"
"""
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": str(FOLDER),
    "CONTAINERS_CONF": str(FOLDER / "containers.conf"),
    "CONTAINERS_STORAGE_CONF": str(FOLDER / "storage.conf"),
}


def podman(*arguments):
    return subprocess.run(
        ["podman", *arguments],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


class Containers:
    """Docker's API, where it is, and the host's address as containers see it."""

    host = f"unix://{SOCKET}"

    def __init__(self, gateway):
        self.gateway = gateway


@contextlib.contextmanager
def containers(image):
    """A container runtime that has Debian under this image's name.

    Raises FileNotFoundError or subprocess.CalledProcessError where there can be none.
    """
    # What a test that was killed has left.
    with contextlib.suppress(subprocess.CalledProcessError):
        podman("rm", "--force", "--all", "--time=0")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    (FOLDER / "containers.conf").write_text(CONFIGURATION)
    (FOLDER / "storage.conf").write_text(STORAGE)
    podman("import", "--quiet", str(DEBIAN), image)
    # The host has its address on the network of containers only while one is there.
    podman("run", "--detach", "--pull=never", "--name", "keeps-the-network", image, "sleep", "infinity")
    try:
        (kept,) = json.loads(podman("inspect", "keeps-the-network"))
        with process(
            "podman", ["podman", "system", "service", "--time=0", f"unix://{SOCKET}"], ENVIRONMENT
        ) as (running, log):

            def ready():
                assert running.poll() is None, log.read_text()
                return SOCKET.exists()

            wait("podman", ready)
            yield Containers(kept["NetworkSettings"]["Gateway"])
    finally:
        podman("rm", "--force", "--all", "--time=0")
