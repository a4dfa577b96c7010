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
    REFERENCE,
    accepts_connections,
    batch,
    built_functions_run,
    event,
    free_port,
    http,
    local_system,
    process,
    to_run,
    wait,
)
from test_template import FAILED_GAUGE, GAUGES, RESOURCES

STACK = "connect-dynamics-test"
ARCHITECTURE = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
EMULATOR = pathlib.Path(samcli.__file__).parent / "local" / "rapid" / f"aws-lambda-rie-{ARCHITECTURE}"


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
    command += ["--runtime-api-address", f"127.0.0.1:{runtime}", *to_run(BUILT / logical_id / "bootstrap")]
    with process(f"function-{logical_id}", command, env) as (running, log):

        def ready():
            assert running.poll() is None, log.read_text()
            return accepts_connections(emulator)

        wait("emulator of the Lambda runtime", ready)
        yield lambda payload: http(
            f"http://127.0.0.1:{emulator}/2015-03-31/functions/function/invocations", payload
        )


def configuration():
    """The reference's configuration with the steps that it has not, as a file: contact records complete the
    record, and analyses are read."""
    document = json.loads(REFERENCE.read_text())
    patch = {"method": "PATCH", "entitySet": "phonecalls", "queryString": "(STEP2-Response.activityid)"}
    steps = document["steps"]
    recordings = steps["recording-available"]
    recordings["objectKinds"].append("redacted-analysis")
    recordings["requests"] = [
        {"name": "file", "main": True, "when": "objectKind != 'redacted-analysis'"}
        | recordings.pop("request"),
        {"name": "summary", "when": "ContactLens.Summary"}
        | patch
        | {"body": {"subcategory": "{{ ContactLens.Summary | truncate(250) }}"}},
    ]
    steps["contact-completed"] = {
        "request": patch | {"body": {"actualdurationminutes": "{{ DurationMinutes }}"}}
    }
    LOGS.mkdir(parents=True, exist_ok=True)
    path = LOGS / "configuration-of-functions.json"
    path.write_text(json.dumps(document))
    return path


def analysis(contact_id):
    """The event of a contact's redacted analysis."""
    changed = event("recording-available-analysis")
    _, rest = changed["detail"]["object"]["key"].split("_", 1)
    changed["detail"]["object"]["key"] = f"Analysis/Voice/Redacted/2026/02/04/{contact_id}_{rest}"
    return changed


def put_analysis(system, sent):
    """Puts the object there that an event tells of."""
    detail = sent["detail"]
    system.put_object(detail["bucket"]["name"], detail["object"]["key"], event("objects/redacted-analysis"))


def keys(*allowed):
    """The condition that holds requests to these keys of the table."""
    return {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": list(allowed)},
        # Else a request that names no key would be allowed.
        "Null": {"dynamodb:LeadingKeys": "false"},
    }


# What holds an action to less than its resource.
CONDITIONS = {
    "dynamodb:GetItem table": keys("CONTACT#*", "LINE#*", "INTEGRATION#*"),
    # Nobody but a person writes a configuration.
    "dynamodb:PutItem table": keys("CONTACT#*", "LINE#*"),
    "kms:Decrypt objects' key": {
        "StringEquals": {"kms:ViaService": {"Fn::Sub": "s3.${AWS::Region}.amazonaws.com"}}
    },
}
# What roles allow on conditions of the template.
ON_CONDITION = {
    "HasSecretKey": (
        "kms:Decrypt SecretKeyArn",
        {"StringEquals": {"kms:ViaService": {"Fn::Sub": "secretsmanager.${AWS::Region}.amazonaws.com"}}},
    ),
    "HasSigningKey": (
        "kms:Sign SigningKeyArn",
        {"StringEquals": {"kms:SigningAlgorithm": "RSASSA_PSS_SHA_256"}},
    ),
}


def allowed(logical_id):
    """What a function's role allows: each action with its resource, and the conditions on it. And the same
    for the statements that are there on a condition of the template's.

    Policies beside the role are among them, but for those that are there on a condition: test_template.py."""
    actions, on_condition = {}, {}
    role = f"{logical_id}Role"
    beside = [
        one["Properties"]
        for one in RESOURCES.values()
        if one["Type"] == "AWS::IAM::Policy"
        and "Condition" not in one
        and {"Ref": role} in one["Properties"]["Roles"]
    ]
    for policy in RESOURCES[role]["Properties"]["Policies"] + beside:
        for statement in policy["PolicyDocument"]["Statement"]:
            condition, into = None, actions
            if "Fn::If" in statement:
                condition, statement, otherwise = statement["Fn::If"]
                assert otherwise == {"Ref": "AWS::NoValue"}
                into = on_condition
            assert statement["Effect"] == "Allow"
            names = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            table_name = "table/${TableName}"
            match json.loads(json.dumps(statement["Resource"])):
                case {"Fn::If": ["MakesTable", {"Fn::GetAtt": ["Table", "Arn"]}, {"Fn::Sub": other}]}:
                    assert other.endswith(f":{table_name}"), other
                    resource = "table"
                case {"Fn::If": ["MakesTable", {"Fn::Sub": "${Table.Arn}/index/due"}, {"Fn::Sub": other}]}:
                    assert other.endswith(f":{table_name}/index/due"), other
                    resource = "index/due"
                case {"Fn::If": ["MakesSecret", {"Ref": "Secret"}, {"Ref": "SecretArn"}]}:
                    resource = "secret"
                case [{"Fn::Sub": arn}, *_] if arn.startswith("arn:${AWS::Partition}:s3:::"):
                    resource = "object"
                case [{"Fn::GetAtt": ["InstanceStorage", key]}, *_] if key.endswith("KeyArn"):
                    resource = "objects' key"
                case {"Fn::GetAtt": [resource, "Arn"]} | {"Ref": resource}:
                    pass
                case other:
                    raise AssertionError(f"a role's statement is over {other}")
            for name in names:
                what = (f"{name} {resource}", json.loads(json.dumps(statement.get("Condition", {}))))
                if condition:
                    into[condition] = what
                else:
                    into[what[0]] = what[1]
    return actions, on_condition


# What no call of the function's code shows: Lambda itself acts for it with its role, and S3 does.
def by_services(logical_id, calls):
    actions = {f"logs:CreateLogStream {logical_id}Log", f"logs:PutLogEvents {logical_id}Log"}
    if "s3:GetObject object" in calls:
        actions.add("kms:Decrypt objects' key")
    if logical_id == "Redelivery":
        # Its event is none that would be missed: the next comes in a minute.
        return actions
    of_queues = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "SendMessage")
    return actions | {f"sqs:{name} {logical_id}Queue" for name in of_queues}


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


@unittest.skipUnless(built_functions_run(), "the functions are built for another processor")
class Functions(unittest.TestCase):
    def test_they_record_the_sample_events_with_what_their_roles_allow(self):
        replies, batches = {}, {}
        told = "0b0c0d0e-0000-4000-8000-00000000e0e0"
        with local_system("--port", "0", config=configuration()) as system:
            put_analysis(system, event("recording-available-analysis"))
            put_analysis(system, analysis(told))
            for logical_id, binary in FUNCTIONS.items():
                if binary == "redelivery":
                    continue
                with function(logical_id, system) as invoke:
                    samples = {
                        path.stem: json.loads(path.read_text())
                        for path in sorted(EVENTS.glob(f"{binary}*.json"))
                    }
                    # As Lambda reads them from a stream.
                    for name in [name for name, sample in samples.items() if "Records" in sample]:
                        batches[name] = invoke(samples.pop(name))
                    for name, sample in samples.items():
                        replies[name] = invoke(sample)
                    # As EventBridge's come, and as those do that an asynchronous invocation has failed with.
                    sent = [sample for sample in samples.values() if "detail" in sample]
                    record = {"version": "1.0", "requestContext": {"condition": "RetriesExhausted"}}
                    sent += [record | {"requestPayload": sample} for sample in samples.values()]
                    batches[logical_id] = invoke(batch(*sent))
                    if binary == "contact-start":
                        # What a flow module passes on when its caller has named no integration.
                        for nothing in ("", None):
                            sample = event("contact-start")
                            sample["Details"]["Parameters"] = {"integration": nothing, "Username": nothing}
                            replies[f"{binary} with {nothing!r}"] = invoke(sample)
                        late = event("contact-start")
                        late["Details"]["ContactData"]["ContactId"] = "0b0c0d0e-0000-4000-8000-00000000d0d0"
                        system.fail(50)
                        pending = invoke(late)
                        system.heal()
                        refused = event("contact-start")
                        refused["Details"]["ContactData"]["ContactId"] = (
                            "0b0c0d0e-0000-4000-8000-00000000f0f0"
                        )
                        # Too large: that will never change.
                        system.fail(1, status=413)
                        failed = invoke(refused)
                        system.heal()
                        start = event("contact-start")
                        start["Details"]["ContactData"]["ContactId"] = told
                        replies["the contact that redelivery reads of"] = invoke(start)
                    if binary == "recording-available":
                        # Redelivery reads the analysis once more.
                        system.fail(50)
                        invoke(analysis(told))
                        system.heal()
                        original = analysis(told)
                        key = original["detail"]["object"]["key"]
                        original["detail"]["object"]["key"] = key.replace("/Redacted/", "/").replace(
                            "_redacted_", "_"
                        )
                        replies["a kind that is not configured"] = invoke(original)
            with function("Redelivery", system) as invoke:

                def delivered():
                    invoke({})
                    return system.record("0b0c0d0e-0000-4000-8000-00000000d0d0")

                wait("redelivered record", delivered)

                def summarized():
                    invoke({})
                    return system.record(told).get("subcategory")

                summaries = [wait("redelivered summary", summarized)]
            calls = system.calls()
            record = system.record("5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90")

        self.assertEqual((pending["status"], failed["status"]), ("pending", "failed"))
        self.assertEqual(
            {name: reply["status"] for name, reply in replies.items()},
            {name: "delivered" for name in replies}
            | {"recording-available-analysis": "skipped", "a kind that is not configured": "skipped"},
        )
        self.assertEqual(batches, {name: {"batchItemFailures": []} for name in batches})
        self.assertEqual(record["actualdurationminutes"], 7)
        summaries.append(record["subcategory"])
        for summary in summaries:
            self.assertTrue(summary.startswith("The customer asked to have an order delivered"), summary)
        self.assertEqual(record["phonenumber"], "+15555550100")
        self.assertIn("5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90", record["description"])
        for logical_id in FUNCTIONS:
            used = calls[logical_id] | by_services(logical_id, calls[logical_id])
            expected = {call: CONDITIONS.get(call, {}) for call in used}
            self.assertEqual(allowed(logical_id), (expected, ON_CONDITION), logical_id)
        # What alarms and dashboard look for.
        stack, step = json.dumps({"Stack": STACK}), json.dumps({"Stack": STACK, "Step": "any"})
        self.assertEqual(
            set().union(*(measured(logical_id) for logical_id in FUNCTIONS)),
            {
                ("ConnectDynamics", name, dimensions)
                for names, dimensions in [
                    (("Delivered", "Pending", "Skipped", "Failed"), step),
                    (("Failed", "DynamicsLatency", "SecretDaysLeft", *GAUGES, FAILED_GAUGE), stack),
                ]
                for name in names
            },
        )


if __name__ == "__main__":
    unittest.main()
