"""Each function as it was built for AWS, under AWS's own Lambda runtime interface emulator."""

import contextlib
import json
import os
import pathlib
import platform
import unittest

import samcli

from machine import (
    BUILT,
    EVENTS,
    FUNCTIONS,
    LOGS,
    accepts_connections,
    event,
    free_port,
    http,
    local_system,
    process,
    wait,
)
from test_template import RESOURCES

STACK = "connect-dynamics-test"
EMULATOR = pathlib.Path(samcli.__file__).parent / "local" / "rapid" / "aws-lambda-rie-x86_64"


@contextlib.contextmanager
def function(logical_id, system):
    """A function, running; yields what invokes it."""
    emulator, runtime = free_port(), free_port()
    env = {
        "PATH": os.environ["PATH"],
        "AWS_ACCESS_KEY_ID": logical_id,
        "AWS_SECRET_ACCESS_KEY": "made-up",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": system.aws,
        "AWS_LAMBDA_FUNCTION_NAME": logical_id,
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(RESOURCES[logical_id]["Properties"]["Timeout"]),
        "TABLE_NAME": "connect-dynamics",
        "INTEGRATION": "default",
        "STACK_NAME": STACK,
    }
    command = [EMULATOR, "--runtime-interface-emulator-address", f"127.0.0.1:{emulator}"]
    command += ["--runtime-api-address", f"127.0.0.1:{runtime}", BUILT / logical_id / "bootstrap"]
    with process(f"function-{logical_id}", command, env) as (running, log):

        def ready():
            assert running.poll() is None, log.read_text()
            return accepts_connections(emulator)

        wait("emulator of the Lambda runtime", ready)
        yield lambda payload: http(
            f"http://127.0.0.1:{emulator}/2015-03-31/functions/function/invocations", payload
        )


def allowed(logical_id):
    """The actions of DynamoDB and Secrets Manager that a function's role allows, with their resources."""
    statements = [
        statement
        for policy in RESOURCES[f"{logical_id}Role"]["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    actions = set()
    for statement in statements:
        if "Action" not in statement:
            # On the condition that the secret has a KMS key of its own.
            continue
        names = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        match json.loads(json.dumps(statement["Resource"])):
            case {"Fn::GetAtt": ["Table", "Arn"]}:
                resource = "table"
            case {"Fn::Sub": "${Table.Arn}/index/due"}:
                resource = "index/due"
            case {"Fn::If": ["MakesSecret", {"Ref": "Secret"}, {"Ref": "SecretArn"}]}:
                resource = "secret"
            case {"Fn::GetAtt": [other, "Arn"]}:
                resource = other
            case other:
                resource = json.dumps(other)
        actions |= {f"{name} {resource}" for name in names}
    return actions


# What no call of the function's code shows: Lambda itself acts for it with its role.
def by_lambda(logical_id):
    actions = {f"logs:CreateLogStream {logical_id}Log", f"logs:PutLogEvents {logical_id}Log"}
    # Redelivery's event is none that would be missed: the next comes in a minute.
    return actions if logical_id == "Redelivery" else actions | {"sqs:SendMessage DeadLetters"}


def measured(logical_id):
    """The metrics that a function has written to its log: their names, each with its dimensions.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    found = set()
    for line in (LOGS / f"function-{logical_id}.log").read_text().splitlines():
        if line.startswith('{"_aws":'):
            document = json.loads(line)
            for directive in document["_aws"]["CloudWatchMetrics"]:
                for names in directive["Dimensions"]:
                    # The step has several values.
                    dimensions = {name: document[name] if name == "Stack" else "any" for name in names}
                    for metric in directive["Metrics"]:
                        found.add((directive["Namespace"], metric["Name"], json.dumps(dimensions)))
    return found


@unittest.skipUnless(platform.machine() == "x86_64", "the functions are built for x86_64 here")
class Functions(unittest.TestCase):
    def test_they_record_the_sample_events_with_what_their_roles_allow(self):
        replies = {}
        with local_system() as system:
            for logical_id, binary in FUNCTIONS.items():
                if binary == "redelivery":
                    continue
                with function(logical_id, system) as invoke:
                    for path in sorted(EVENTS.glob(f"{binary}*.json")):
                        replies[path.stem] = invoke(json.loads(path.read_text()))
                    if binary == "contact-start":
                        late = event("contact-start")
                        late["Details"]["ContactData"]["ContactId"] = "0b0c0d0e-0000-4000-8000-00000000d0d0"
                        system.fail(50)
                        pending = invoke(late)
                        system.heal()
            with function("Redelivery", system) as invoke:

                def delivered():
                    invoke({})
                    return system.record("0b0c0d0e-0000-4000-8000-00000000d0d0")

                wait("redelivered record", delivered)
            calls = system.calls()
            record = system.record("5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90")

        self.assertEqual(pending["status"], "pending")
        self.assertEqual(
            {name: reply["status"] for name, reply in replies.items()},
            {name: "delivered" for name in replies} | {"recording-available-analysis": "skipped"},
        )
        self.assertEqual(record["phonenumber"], "+15555550100")
        self.assertIn("5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90", record["description"])
        for logical_id in FUNCTIONS:
            self.assertEqual(allowed(logical_id), calls[logical_id] | by_lambda(logical_id), logical_id)
        # What alarms and dashboard look for.
        stack, step = json.dumps({"Stack": STACK}), json.dumps({"Stack": STACK, "Step": "any"})
        self.assertEqual(
            set().union(*(measured(logical_id) for logical_id in FUNCTIONS)),
            {
                ("ConnectDynamics", name, dimensions)
                for names, dimensions in [
                    (("Delivered", "Pending", "Skipped"), step),
                    (("DynamicsLatency", "OldestPendingAge", "SecretDaysLeft"), stack),
                ]
                for name in names
            },
        )


if __name__ == "__main__":
    unittest.main()
