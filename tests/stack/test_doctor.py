"""The operators' tool looks at a stack that is deployed, and finds what was broken in it."""

import json
import subprocess
import unittest

from machine import LOGS, PROJECT, TARGET, event
from test_stack import BUCKET, CLIENT_SECRET, CONTACT, INSTANCE, STACK, Deployed, in_s3, instance_id

TOOL = TARGET / "debug" / "connect-dynamics"
POLICY = PROJECT / "docs" / "operator-policy.json"
OF_THE_INSTANCE = instance_id(INSTANCE)
ASSOCIATED = f"/instance/{OF_THE_INSTANCE}/lambda-functions"
FLOW = f"/contact-flows/{OF_THE_INSTANCE}/flow-1"


@unittest.skipUnless(TOOL.exists(), "the operators' tool is not built")
class Doctor(Deployed):
    # What Amazon Connect answers. A test may change it.
    stored = {
        OF_THE_INSTANCE: {
            "CALL_RECORDINGS": [in_s3(BUCKET, "connect/example/CallRecordings")],
            "CHAT_TRANSCRIPTS": [in_s3(BUCKET, "connect/example/ChatTranscripts")],
        }
    }
    others = {}

    @classmethod
    def storage(cls):
        return cls.stored

    @classmethod
    def others_of_the_instance(cls):
        return cls.others

    @classmethod
    def configuration(cls):
        return json.loads((PROJECT / "docs" / "recipes" / "phone-call.json").read_text())

    @classmethod
    def configure(cls):
        super().configure()
        functions = cls.client("lambda").list_functions()["Functions"]
        flow = {
            "Id": "flow-1",
            "Name": "Main line",
            "ContactFlowType": "CONTACT_FLOW",
            "ContactFlowState": "ACTIVE",
        }
        used = f"{cls.functions['ContactStart']} {cls.functions['ContactAnswered']}"
        cls.others |= {
            ASSOCIATED: {"LambdaFunctions": [function["FunctionArn"] for function in functions]},
            f"/contact-flows-summary/{OF_THE_INSTANCE}": {"ContactFlowSummaryList": [flow]},
            FLOW: {"ContactFlow": {"Content": used}},
        }
        # What the emulator's CloudFormation leaves out.
        dynamodb, table = cls.client("dynamodb"), cls.outputs["TableName"]
        dynamodb.update_time_to_live(
            TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expiresAt"}
        )
        dynamodb.update_continuous_backups(
            TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )

    def examine(self, **environment):
        """The checks by their ids."""
        done = subprocess.run(
            [TOOL, "doctor", "--stack", STACK, "--json"],
            cwd=PROJECT,
            env=self.environment | {"AWS_ENDPOINT_URL_CONNECT": self.connect} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertNotIn(CLIENT_SECRET, done.stdout + done.stderr)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        checks = {check["id"]: check for check in json.loads(done.stdout)["checks"]}
        broken = [check for check in checks.values() if check["outcome"] == "broken"]
        self.assertEqual(done.returncode, 1 if broken else 0, broken)
        return checks

    def outcomes(self, checks):
        """What is not well, but for what needs time: the runs of redelivery are measured a minute later."""
        unwell = {"broken", "warning", "cannot-be-checked"}
        return {
            name: check["outcome"]
            for name, check in checks.items()
            if check["outcome"] in unwell and name != "redelivery-runs"
        }

    def tool(self, *arguments):
        return self.run_command("tool", TOOL, *arguments, "--stack", STACK)

    def test_an_operator_sees_a_contact_and_what_is_in_force_and_forgets(self):
        self.assertEqual(
            json.loads(self.tool("export")), json.loads((LOGS / "configuration.json").read_text())
        )
        self.assertEqual(len(self.tool("export", "--versions").split()), 1)
        self.invoke("ContactStart", event("contact-start"))
        self.invoke("ContactEnd", event("contact-end"))
        for found in [("--state", "delivered"), ("+1 (555) 555-0100",), (CONTACT, "--json")]:
            with self.subTest(found):
                self.assertIn(CONTACT, self.tool("contacts", *found))
        self.assertIn("1 forgotten.", self.tool("forget", CONTACT, "--yes"))
        self.assertNotIn(CONTACT, self.tool("contacts", "--state", "delivered"))

    def change(self, make, undo):
        make()
        self.addCleanup(undo)

    def test_what_is_well_is_said_to_be(self):
        checks = self.examine()
        self.assertEqual(self.outcomes(checks), {})
        for name in (
            "stack",
            "connection:default",
            "function:ContactStart",
            "trigger:ContactEnd",
            "schedule",
            "rule:EndedRule",
            "bucket-events",
            "storage",
            "association",
            "flows",
            "clock",
        ):
            self.assertEqual(checks[name]["outcome"], "ok", checks[name])
        self.assertNotEqual(checks["table"]["outcome"], "broken", checks["table"])

    def test_what_is_broken_is_found_and_said_how_to_mend(self):
        events, functions, s3 = self.client("events"), self.client("lambda"), self.client("s3")
        rule = {"Name": self.physical_id("EndedRule")}
        self.change(lambda: events.disable_rule(**rule), lambda: events.enable_rule(**rule))

        off, on = {}, {"EventBridgeConfiguration": {}}
        for_bucket = s3.put_bucket_notification_configuration
        self.change(
            lambda: for_bucket(Bucket=BUCKET, NotificationConfiguration=off),
            lambda: for_bucket(Bucket=BUCKET, NotificationConfiguration=on),
        )

        answered = {"FunctionName": self.functions["ContactAnswered"]}
        self.change(
            lambda: functions.put_function_concurrency(**answered, ReservedConcurrentExecutions=0),
            lambda: functions.delete_function_concurrency(**answered),
        )

        trigger = {"UUID": self.physical_id("ContactEndFromQueue")}
        self.change(
            lambda: functions.update_event_source_mapping(**trigger, Enabled=False),
            lambda: functions.update_event_source_mapping(**trigger, Enabled=True),
        )

        sqs, letters = self.client("sqs"), {"QueueUrl": self.outputs["DeadLettersUrl"]}
        self.change(lambda: sqs.send_message(**letters, MessageBody="{}"), lambda: sqs.purge_queue(**letters))

        moved = {"CALL_RECORDINGS": [in_s3(BUCKET, "moved")]}
        stored, others = dict(self.stored[OF_THE_INSTANCE]), dict(self.others)
        self.change(
            lambda: self.stored[OF_THE_INSTANCE].update(moved),
            lambda: self.stored[OF_THE_INSTANCE].update(stored),
        )
        nothing = {ASSOCIATED: {"LambdaFunctions": []}, FLOW: {"ContactFlow": {"Content": "{}"}}}
        self.change(lambda: self.others.update(nothing), lambda: self.others.update(others))

        checks = self.examine()
        expected = {
            "rule:EndedRule": ("broken", "aws events enable-rule"),
            "bucket-events": ("broken", "Amazon EventBridge"),
            "function:ContactAnswered": ("broken", "aws lambda delete-function-concurrency"),
            "trigger:ContactEnd": ("broken", "aws lambda update-event-source-mapping"),
            "dead-letters": ("broken", "aws sqs start-message-move-task"),
            "storage": ("warning", "StorageChange=2"),
            # The stack leaves it to somebody else here.
            "association": ("warning", "Add Lambda Function"),
            "flows": ("warning", f"{STACK} contact start"),
        }
        self.assertEqual(
            self.outcomes(checks), {name: outcome for name, (outcome, _) in expected.items()}, checks
        )
        for name, (_, remedy) in expected.items():
            with self.subTest(name):
                self.assertIn(remedy, json.dumps(checks[name]["whatToDo"]))

    def test_the_operators_policy_is_enough_and_what_it_leaves_out_is_named(self):
        iam = self.client("iam")
        iam.create_user(UserName="operator")
        key = iam.create_access_key(UserName="operator")["AccessKey"]
        # CloudFormation names a secret by its logical id; the emulator by the stack's name, too.
        text = POLICY.read_text().replace(":secret:Secret-*", f":secret:{STACK}-Secret-*")
        policy = json.loads(text)
        # What the emulator takes these requests for: AWS has rights of their own for them, and names a rule
        # of the default bus without it.
        mistaken = [
            ("lambda:PutFunctionConcurrency", "*"),
            ("lambda:ListEventSourceMappings", "*"),
            ("events:DescribeRule", "arn:*:events:*:*:rule/default/connect-dynamics*"),
            ("events:ListTargetsByRule", "*"),
        ]
        policy["Statement"] += [
            {"Sid": f"Emulator{place}", "Effect": "Allow", "Action": action, "Resource": resource}
            for place, (action, resource) in enumerate(mistaken)
        ]

        def examine():
            iam.put_user_policy(UserName="operator", PolicyName="operator", PolicyDocument=json.dumps(policy))
            return self.examine(
                AWS_ACCESS_KEY_ID=key["AccessKeyId"], AWS_SECRET_ACCESS_KEY=key["SecretAccessKey"]
            )

        self.assertEqual(self.outcomes(examine()), {})
        left_out = ("Doctor", "ReadTheSecret", "TryConnectionAndDeliverAgain")
        policy["Statement"] = [one for one in policy["Statement"] if one["Sid"] not in left_out]
        checks = examine()
        for name, right in [
            ("credential:default", "secretsmanager:GetSecretValue"),
            ("connection:default", "lambda:InvokeFunction"),
            ("rule:EndedRule", "cloudformation:ListStackResources"),
            ("table", "dynamodb:DescribeTable"),
        ]:
            with self.subTest(name):
                self.assertEqual(checks[name]["outcome"], "cannot-be-checked", checks[name])
                self.assertIn(right, checks[name]["finding"])
        # What the other statements allow is looked at all the same.
        self.assertEqual(checks["contacts-failed"]["outcome"], "ok", checks["contacts-failed"])


if __name__ == "__main__":
    unittest.main()
