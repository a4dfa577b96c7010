"""The README's `sam local invoke`, line by line: functions in containers, against the local system."""

import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import unittest

from samcli.local.docker.lambda_image import LambdaImage, Runtime

from containers import containers
from machine import BUILT, FUNCTIONS, LOGS, MACHINES, PROJECT, TARGET, elf_machine, event, local_system

SAM = TARGET / "tools" / "python" / "sam" / "bin" / "sam"
LINES = re.findall(r"^sam local invoke .*$", (PROJECT / "README.md").read_text(), re.MULTILINE)
# What SAM takes for Lambda's image.
IMAGE = f"{LambdaImage._INVOKE_REPO_PREFIX}/{Runtime.get_image_name_tag('provided.al2023', 'x86_64')}"


def template():
    """What SAM is to run. Containers run what this machine does; when the functions are built for another
    processor, they get those of `cargo build`, in the place of SAM's."""
    built = BUILT / "template.yaml"
    if elf_machine(BUILT / "ContactStart" / "bootstrap") == MACHINES[platform.machine()]:
        return built
    folder = LOGS / "sam-local"
    for logical_id, binary in FUNCTIONS.items():
        (folder / logical_id).mkdir(parents=True, exist_ok=True)
        shutil.copy(TARGET / "debug" / binary, folder / logical_id / "bootstrap")
    text = built.read_text().replace("- arm64\n", "- x86_64\n")
    (folder / "template.yaml").write_text(text)
    return folder / "template.yaml"


@unittest.skipUnless(platform.machine() == "x86_64", "the image is made for x86_64")
class SamLocalInvoke(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            cls.containers = cls.enterClassContext(containers(IMAGE))
        except (OSError, subprocess.CalledProcessError) as error:
            why = str(getattr(error, "stderr", None) or error).strip().splitlines()[-1]
            print(f"`sam local invoke` SKIPPED: no container can be run here: {why}")
            raise unittest.SkipTest(why) from error

    def invoke(self, line):
        """The reply of the function that a line of the README invokes."""
        # podman knows no `host-gateway` before version 5.
        configuration = LOGS / "samconfig.toml"
        configuration.write_text(
            (PROJECT / "samconfig.toml").read_text().replace("host-gateway", self.containers.gateway)
        )
        sam, *arguments = shlex.split(line)
        self.assertEqual(sam, "sam")
        done = subprocess.run(
            [SAM, *arguments, "--config-file", configuration],
            cwd=PROJECT,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(LOGS),
                "DOCKER_HOST": self.containers.host,
                "SAM_TEMPLATE_FILE": str(self.template),
                "SAM_SKIP_PULL_IMAGE": "true",
                "SAM_CLI_TELEMETRY": "0",
                # There are no credentials to look for.
                "AWS_EC2_METADATA_DISABLED": "true",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        *_, reply = done.stdout.strip().splitlines()
        return json.loads(reply)

    def test_the_readmes_lines_record_a_contact(self):
        contact_id = event("contact-start")["Details"]["ContactData"]["ContactId"]
        with local_system("--listen", self.containers.gateway, config=None) as system:
            self.template = template()
            replies = [self.invoke(line) for line in LINES]
            record = system.record(contact_id)
        self.assertEqual([reply["status"] for reply in replies], ["delivered"] * len(LINES), replies)
        # What start, end, recording and the contact record have written.
        self.assertEqual(record["phonenumber"], "+15555550100")
        self.assertIn("actualend", record)
        self.assertIn(contact_id, record["description"])
        self.assertEqual(record["category"], "answered")
        # What the agent is shown.
        self.assertIn(contact_id, replies[1]["screenPopUrl"])


if __name__ == "__main__":
    unittest.main()
