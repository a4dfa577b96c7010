"""The whole stack, packaged and deployed by SAM into an AWS emulator, with the stand-in as Dynamics.

The emulator runs the functions that `sam build` made, refuses what their roles do not allow, delivers
events by the stack's rules and keeps its schedule. What it cannot do is in NOT_EMULATED.
"""

import contextlib
import http.client
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import unittest
import urllib.parse
import uuid

import boto3
import botocore

from machine import (
    BUILT,
    LOGS,
    PROJECT,
    RECIPES,
    REFERENCE,
    TARGET,
    built_functions_run,
    emulator,
    event,
    local_system,
    wait,
)
from test_template import RESOURCES, STEPS

REGION = "us-east-1"
# The emulator knows no Amazon Connect (test_template.py runs the flow modules, and where the instance stores
# what is answered here) and no alarm over more than one metric.
NOT_EMULATED = {"AttachToConnect": "false", "MakeAlarms": "false"}
STACK = "connect-dynamics-test"
BUCKET = "example-connect-recordings"
CHATS = "example-connect-chats"
INSTANCE = event("contact-end")["detail"]["instanceArn"]
CONTACT = event("contact-start")["Details"]["ContactData"]["ContactId"]
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
}
# The made-up client secret of the local system.
CLIENT_SECRET = "made-up-client-secret-for-this-machine"


def merged(into, changes):
    return into | {
        key: merged(into[key], value) if isinstance(value, dict) else value for key, value in changes.items()
    }


def in_s3(bucket, prefix):
    """A storage configuration as Amazon Connect tells it.

    https://docs.aws.amazon.com/connect/latest/APIReference/API_InstanceStorageConfig.html
    """
    return {
        "AssociationId": "1",
        "StorageType": "S3",
        "S3Config": {
            "BucketName": bucket,
            "BucketPrefix": prefix,
            "EncryptionConfig": {
                "EncryptionType": "KMS",
                "KeyId": f"arn:aws:kms:{REGION}:123456789012:key/made-up",
            },
        },
    }


@contextlib.contextmanager
def amazon_connect(storage, others):
    """Answers where instances store what: `storage` has, by an instance's id, the configurations by resource
    type. `others` has what is answered at other paths. Yields its URL. It refuses a request that is not
    signed for it."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            url = urllib.parse.urlsplit(self.path)
            instance = url.path.removeprefix("/instance/").removesuffix("/storage-configs")
            resource = dict(urllib.parse.parse_qsl(url.query)).get("resourceType")
            if f"/{REGION}/connect/aws4_request" not in self.headers.get("Authorization", ""):
                self.answer(403, {"Message": "The request is not signed"}, "AccessDeniedException")
            elif not url.path.endswith("/storage-configs"):
                if url.path in others:
                    self.answer(200, others[url.path])
                else:
                    self.answer(404, {"Message": "There is no such thing"}, "ResourceNotFoundException")
            elif instance not in storage:
                self.answer(404, {"Message": "There is no such instance"}, "ResourceNotFoundException")
            elif resource == "EMAIL_MESSAGES":
                self.answer(400, {"Message": "resourceType is not valid"}, "InvalidParameterException")
            else:
                self.answer(200, {"StorageConfigs": storage[instance].get(resource, [])})

        def answer(self, status, body, name=""):
            self.send_response(status)
            self.send_header("x-amzn-ErrorType", name)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def instance_id(arn):
    return arn.rsplit("/", 1)[1]


@unittest.skipUnless(built_functions_run(), "the functions are built for another processor")
class Deployed(unittest.TestCase):
    """A deployed stack, ready for contacts."""

    @classmethod
    def setUpClass(cls):
        cls.system = cls.enterClassContext(local_system())
        cls.connect = cls.enterClassContext(amazon_connect(cls.storage(), cls.others_of_the_instance()))
        cls.url = cls.enterClassContext(emulator(cls.connect))
        cls.environment = {**os.environ, **CREDENTIALS, "AWS_ENDPOINT_URL": cls.url, "SAM_CLI_TELEMETRY": "0"}
        cls.notifications = cls.make_bucket()
        cls.outputs = cls.deploy()
        cls.functions = {
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for resource in cls.client("cloudformation").describe_stack_resources(StackName=STACK)[
                "StackResources"
            ]
            if resource["ResourceType"] == "AWS::Lambda::Function"
        }
        cls.configure()

    @classmethod
    def client(cls, service):
        return boto3.client(
            service,
            endpoint_url=cls.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    @classmethod
    def storage(cls):
        """What Amazon Connect knows: the folders' names are those that it gives by default."""
        folders = {
            "CALL_RECORDINGS": "CallRecordings",
            "CHAT_TRANSCRIPTS": "ChatTranscripts",
            "ATTACHMENTS": "Attachments",
            "SCREEN_RECORDINGS": "ScreenRecordings",
        }
        return {
            instance_id(INSTANCE): {
                resource: [in_s3(BUCKET, f"connect/example/{folder}")] for resource, folder in folders.items()
            }
        }

    @classmethod
    def others_of_the_instance(cls):
        """What else Amazon Connect answers, by the path."""
        return {}

    @classmethod
    def make_bucket(cls):
        """The recording bucket, with notifications of someone else's; returns them."""
        s3 = cls.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.create_bucket(Bucket=CHATS)
        queue = cls.client("sqs").create_queue(QueueName="someone-elses")["QueueUrl"]
        topic = cls.client("sns").create_topic(Name="someone-elses")["TopicArn"]
        account = topic.split(":")[4]
        theirs = {
            "LambdaFunctionConfigurations": [
                {
                    "Id": "their function",
                    "LambdaFunctionArn": f"arn:aws:lambda:{REGION}:{account}:function:someone-elses",
                    "Events": ["s3:ObjectCreated:Put", "s3:ObjectCreated:CompleteMultipartUpload"],
                    "Filter": {
                        "Key": {
                            "FilterRules": [
                                {"Name": "prefix", "Value": "invoices/"},
                                {"Name": "suffix", "Value": ".pdf"},
                            ]
                        }
                    },
                }
            ],
            "QueueConfigurations": [
                {
                    "Id": "their queue",
                    "QueueArn": f"arn:aws:sqs:{REGION}:{account}:{queue.rsplit('/', 1)[1]}",
                    "Events": ["s3:ObjectRemoved:*"],
                }
            ],
            "TopicConfigurations": [
                {"Id": "their topic", "TopicArn": topic, "Events": ["s3:ReducedRedundancyLostObject"]}
            ],
        }
        s3.put_bucket_notification_configuration(
            Bucket=BUCKET, NotificationConfiguration=theirs, SkipDestinationValidation=True
        )
        return cls.read_notifications()

    @classmethod
    def read_notifications(cls, bucket=BUCKET):
        found = cls.client("s3").get_bucket_notification_configuration(Bucket=bucket)
        return {key: value for key, value in found.items() if key != "ResponseMetadata"}

    @classmethod
    def run_command(cls, name, *command):
        done = subprocess.run(
            [str(part) for part in command],
            cwd=PROJECT,
            env=cls.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        (LOGS / f"{name}.log").write_text(done.stdout + done.stderr)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @classmethod
    def deploy(cls):
        cls.client("s3").create_bucket(Bucket="artifacts")
        cls.deploy_with(cls.parameters())
        stack = cls.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    @classmethod
    def deploy_with(cls, parameters, built=BUILT):
        parameters = {"InstanceArn": INSTANCE} | NOT_EMULATED | parameters
        cls.run_command(
            "deploy",
            *[TARGET / "tools" / "python" / "sam" / "bin" / "sam", "deploy"],
            *["--config-file", PROJECT / "samconfig.toml", "--no-confirm-changeset", "--no-progressbar"],
            *["--template-file", built / "template.yaml", "--stack-name", STACK],
            *["--no-resolve-s3", "--s3-bucket", "artifacts"],
            *["--parameter-overrides", *(f"{key}={value}" for key, value in parameters.items())],
        )

    @classmethod
    def parameters(cls):
        """The stack's parameters, besides those that every stack here has."""
        return {}

    @classmethod
    def configuration(cls):
        """The integration's configuration, but for the connection."""
        return json.loads(REFERENCE.read_text())

    @classmethod
    def configure(cls):
        """What a person does once the stack is there: the secret's value and the configuration."""
        cls.client("secretsmanager").put_secret_value(
            SecretId=cls.outputs["SecretArn"],
            SecretString=json.dumps({"clientSecret": CLIENT_SECRET, "expiresOn": "2030-01-31"}),
        )
        configuration = cls.configuration()
        configuration["connection"] |= {
            "environmentUri": cls.system.dataverse,
            "authority": cls.system.entra,
            "scope": f"{cls.system.dataverse}/.default",
            "clientSecretId": cls.outputs["SecretArn"],
        }
        path = LOGS / "configuration.json"
        path.write_text(json.dumps(configuration))
        tool = TARGET / "debug" / "connect-dynamics"
        cls.run_command("apply", tool, "apply", "--stack", STACK, "--yes", path)

    def invoke(self, logical_id, payload):
        answer = self.client("lambda").invoke(
            FunctionName=self.functions[logical_id], Payload=json.dumps(payload)
        )
        reply = json.loads(answer["Payload"].read())
        self.assertNotIn("FunctionError", answer, reply)
        return reply

    def answers(self, function, *requests):
        """What CloudFormation is answered by this function to these requests: their type, their resource's
        type and its properties."""
        answers = []

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_PUT(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answers.append((self.headers.get("Content-Type"), json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            for kind, resource, properties in requests:
                request = {
                    "RequestType": kind,
                    "RequestId": "1",
                    "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/example/1",
                    "LogicalResourceId": "TheResource",
                    "ResourceType": resource,
                    "ResponseURL": f"http://127.0.0.1:{server.server_port}/answer",
                    "ResourceProperties": {"ServiceToken": "x", "ServiceTimeout": "120"} | properties,
                }
                self.invoke(function, request)
            server.shutdown()
        for content_type, answer in answers:
            # The URL of a real answer is signed for a request without one.
            self.assertIsNone(content_type)
            texts = ("Status", "Reason", "PhysicalResourceId", "StackId", "RequestId", "LogicalResourceId")
            self.assertTrue(all(isinstance(answer[key], str) for key in texts), answer)
            # CloudFormation takes no more.
            self.assertLess(len(json.dumps(answer)), 4096)
        return [answer for _, answer in answers]

    @classmethod
    def physical_id(cls, logical_id):
        """What a resource of the stack is called; of a queue, its URL."""
        resources = cls.client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]
        return next(one["PhysicalResourceId"] for one in resources if one["LogicalResourceId"] == logical_id)

    def messages(self, logical_id):
        """How many messages are in a queue, taken ones included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.client("sqs").get_queue_attributes(
            QueueUrl=self.physical_id(logical_id), AttributeNames=names
        )
        return sum(int(answer["Attributes"][name]) for name in names)

    def set_table(self, logical_id, table):
        """Lets a function use another table. It fails with each event where there is none of that name."""
        functions, name = self.client("lambda"), self.functions[logical_id]
        variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        functions.update_function_configuration(
            FunctionName=name, Environment={"Variables": variables | {"TABLE_NAME": table}}
        )

    def logged(self, logical_id, *texts):
        """How many lines of a function's log have all these texts in them."""
        function = self.client("lambda").get_function_configuration(FunctionName=self.functions[logical_id])
        events = self.client("logs").filter_log_events(
            logGroupName=function["LoggingConfig"]["LogGroup"],
            filterPattern=" ".join(f'"{text}"' for text in texts),
        )["events"]
        return len(events)

    def taken(self, changes, sample, detail_type=None):
        """The functions that get the event by the stack's rules, as often as they get it."""
        events = self.client("events")
        changed = event(sample)
        changed["detail-type"] = detail_type or changed["detail-type"]
        changed["detail"] = merged(changed["detail"], changes)
        text, found = json.dumps(changed), []
        for rule in events.list_rules()["Rules"]:
            pattern = rule.get("EventPattern")
            if pattern and events.test_event_pattern(EventPattern=pattern, Event=text)["Result"]:
                (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
                found += [name for name in self.functions if f"-{name}Queue-" in target["Arn"]]
        return found

    def put_event(self, sample):
        """Puts a sample event on the bus, as Amazon Connect does."""
        sent = event(sample)
        entry = {
            "Source": sent["source"],
            "DetailType": sent["detail-type"],
            "Detail": json.dumps(sent["detail"]),
        }
        answer = self.client("events").put_events(Entries=[entry])
        self.assertEqual(answer["FailedEntryCount"], 0, answer)


class Stack(Deployed):
    @classmethod
    def storage(cls):
        """Folders of the customer's own names, in two buckets; and instances that cannot be deployed for."""
        stream = {"AssociationId": "2", "StorageType": "KINESIS_STREAM"}
        return {
            instance_id(INSTANCE): {
                "CALL_RECORDINGS": [stream, in_s3(BUCKET, "connect/x/call-recordings")],
                "CHAT_TRANSCRIPTS": [in_s3(CHATS, "chats/of x")],
                "ATTACHMENTS": [in_s3(BUCKET, "connect/x/files/")],
            },
            "00000000-0000-4000-8000-00000000f001": {"CALL_RECORDINGS": [stream]},
            "00000000-0000-4000-8000-00000000f002": {"CALL_RECORDINGS": [in_s3("there-is-none", "x")]},
            "00000000-0000-4000-8000-00000000f003": {"CALL_RECORDINGS": [in_s3("in-another-region", "x")]},
        }

    @classmethod
    def configuration(cls):
        document = super().configuration()
        document["steps"]["contact-completed"] = {
            "request": {
                "method": "PATCH",
                "entitySet": "phonecalls",
                "queryString": "(STEP2-Response.activityid)",
                "body": {"actualdurationminutes": "{{ DurationMinutes }}"},
            }
        }
        return document

    def test_a_contact_is_recorded_whatever_its_events_come_by(self):
        start, answered = event("contact-start"), event("contact-answered")
        reply = self.invoke("ContactStart", start)
        self.assertEqual((reply["status"], reply["recordId"]), ("delivered", CONTACT), reply)
        reply = self.invoke("ContactAnswered", answered)
        self.assertEqual(reply["status"], "delivered", reply)
        self.assertIn(CONTACT, reply["screenPopUrl"])

        self.put_event("contact-end")
        wait("category", lambda: self.system.record(CONTACT)["category"])

        # It stands for the contact record where there is no stream of those.
        self.put_event("contact-completed-event")
        wait("duration", lambda: self.system.record(CONTACT).get("actualdurationminutes"))

        # By no name could it be told what this is: the rule and the function know it from Amazon Connect.
        file = event("recording-available")["detail"]["object"]["key"].rsplit("/", 1)[1]
        key = f"connect/x/call-recordings/2026/02/04/{file}"
        self.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"RIFF")
        wait("description", lambda: self.system.record(CONTACT)["description"])
        record = self.system.record(CONTACT)
        self.assertIn(CONTACT, record["description"])
        self.assertEqual(record["phonenumber"], "+15555550100")
        self.assertEqual(record["category"], "VOICE")

        items = self.client("dynamodb").scan(TableName=self.outputs["TableName"])["Items"]
        history = next(item for item in items if CONTACT in item["pk"]["S"])
        self.assertNotIn("due", history, "nothing is left to do")
        self.assertNotIn(CLIENT_SECRET, json.dumps(items))

    def test_the_schedule_delivers_what_an_outage_left_behind(self):
        contact_id = str(uuid.uuid4())
        start = event("contact-start")
        start["Details"]["ContactData"]["ContactId"] = contact_id
        self.system.fail(1000)
        reply = self.invoke("ContactStart", start)
        self.system.heal()
        self.assertEqual((reply["status"], reply["recordId"]), ("pending", contact_id), reply)
        wait("record from the schedule", lambda: self.system.record(contact_id), 150)

    def test_rules_take_the_events_they_are_for_and_no_others(self):
        other_instance = INSTANCE[:-1] + "9"
        cases = [
            ("contact-answered-event", {}, "ContactAnswered"),
            ("contact-answered-event", {"instanceArn": other_instance}, None),
            ("contact-end", {}, "ContactEnd"),
            ("contact-completed-event", {}, "ContactCompleted"),
            ("contact-completed-event", {"instanceArn": other_instance}, None),
            ("contact-end", {"eventType": "INITIATED"}, None),
            ("contact-end", {"eventType": "QUEUED"}, None),
            ("contact-end", {"instanceArn": other_instance}, None),
        ]
        for bucket, key, is_taken in [
            (BUCKET, "connect/x/call-recordings/2026/02/04/x.wav", True),
            (BUCKET, "connect/x/call-recordings/ivr/2026/02/04/x.wav", True),
            (BUCKET, "connect/x/files/chat/2026/02/04/x.pdf", True),
            (CHATS, "chats/of x/2026/02/04/x.json", True),
            # Contact Lens writes to the root of each bucket.
            (BUCKET, "Analysis/Voice/2026/02/04/x.json", True),
            (CHATS, "Analysis/Chat/2026/02/04/x.json", True),
            # What lies in one bucket means nothing in the other, and another instance's is not taken.
            (CHATS, "connect/x/call-recordings/2026/02/04/x.wav", False),
            (BUCKET, "chats/of x/2026/02/04/x.json", False),
            ("another-bucket", "connect/x/call-recordings/2026/02/04/x.wav", False),
            ("another-bucket", "Analysis/Voice/2026/02/04/x.json", False),
            (BUCKET, "connect/y/call-recordings/2026/02/04/x.wav", False),
            (BUCKET, "connect/x/call-recordings-of-old/2026/02/04/x.wav", False),
            (BUCKET, "connect/x/Analysis/Voice/2026/02/04/x.json", False),
            # The instance stores no screens, so their usual folder is none of its.
            (BUCKET, "connect/x/ScreenRecordings/2026/02/04/x.mp4", False),
            (BUCKET, "not-stored/x.mp4", False),
            (BUCKET, "connect/x/reports/2026/02/04/report.csv", False),
            (BUCKET, "invoices/1.pdf", False),
        ]:
            changes = {"bucket": {"name": bucket}, "object": {"key": key}}
            cases.append(("recording-available", changes, "RecordingAvailable" if is_taken else None))
        for sample, changes, expected in cases:
            with self.subTest(sample, **changes):
                self.assertEqual(self.taken(changes, sample), [expected] if expected else [])
        for detail_type, expected in [
            ("Connect Customer Contact Event", ["ContactEnd"]),
            ("Amazon Connect Contact Flow Event", []),
        ]:
            with self.subTest(detail_type):
                self.assertEqual(self.taken({}, "contact-end", detail_type), expected)

    def test_a_functions_role_may_use_contacts_and_only_read_configurations(self):
        # Only Lambda gets credentials of the role. So a user gets what the role may do with the table.
        iam = self.client("iam")
        function = self.client("lambda").get_function(FunctionName=self.functions["ContactEnd"])
        role = function["Configuration"]["Role"].rsplit("/", 1)[1]
        records = iam.get_role_policy(RoleName=role, PolicyName="records")["PolicyDocument"]
        iam.create_user(UserName="as-the-role")
        iam.put_user_policy(UserName="as-the-role", PolicyName="records", PolicyDocument=json.dumps(records))
        key = iam.create_access_key(UserName="as-the-role")["AccessKey"]
        dynamodb = boto3.client(
            "dynamodb",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
        )
        table = self.outputs["TableName"]

        def allows(action, key):
            item = {"pk": {"S": key}}
            try:
                match action:
                    case "get":
                        dynamodb.get_item(TableName=table, Key=item)
                    case "put":
                        dynamodb.put_item(TableName=table, Item=item)
                    case "delete":
                        dynamodb.delete_item(TableName=table, Key=item)
                    case "scan":
                        dynamodb.scan(TableName=table)
            except dynamodb.exceptions.ClientError as error:
                self.assertEqual(error.response["Error"]["Code"], "AccessDeniedException")
                return False
            return True

        for action, key, expected in [
            ("get", "CONTACT#1", True),
            ("get", "LINE#1", True),
            ("get", "INTEGRATION#default", True),
            ("get", "OTHER#1", False),
            ("put", "CONTACT#1", True),
            ("put", "LINE#1", True),
            ("put", "INTEGRATION#default", False),
            ("delete", "CONTACT#1", False),
            ("scan", "", False),
        ]:
            with self.subTest(action, key=key):
                self.assertEqual(allows(action, key), expected)

    def test_the_step_of_recordings_may_read_analyses_and_transcripts_and_no_recording(self):
        iam, s3 = self.client("iam"), self.client("s3")
        for name in ("RecordingAvailable", "Redelivery"):
            function = self.client("lambda").get_function(FunctionName=self.functions[name])
            role = function["Configuration"]["Role"].rsplit("/", 1)[1]
            policy = iam.get_role_policy(RoleName=role, PolicyName="analyses")["PolicyDocument"]
            user = f"as-{name}"
            iam.create_user(UserName=user)
            iam.put_user_policy(UserName=user, PolicyName="analyses", PolicyDocument=json.dumps(policy))
            key = iam.create_access_key(UserName=user)["AccessKey"]
            reader = boto3.client(
                "s3",
                endpoint_url=self.url,
                region_name=REGION,
                aws_access_key_id=key["AccessKeyId"],
                aws_secret_access_key=key["SecretAccessKey"],
            )
            for bucket, key, expected in [
                (BUCKET, "Analysis/Voice/x.json", True),
                (CHATS, "Analysis/Chat/x.json", True),
                (CHATS, "chats/of x/x.json", True),
                (BUCKET, "connect/x/call-recordings/x.wav", False),
                (BUCKET, "connect/x/files/x.pdf", False),
                (BUCKET, "chats/of x/x.json", False),
                (CHATS, "others/x.json", False),
            ]:
                with self.subTest(name, bucket=bucket, key=key):
                    s3.put_object(Bucket=bucket, Key=key, Body=b"{}")
                    try:
                        reader.get_object(Bucket=bucket, Key=key)
                        allowed = True
                    except reader.exceptions.ClientError as error:
                        self.assertEqual(error.response["Error"]["Code"], "AccessDenied")
                        allowed = False
                    self.assertEqual(allowed, expected)

    def test_the_buckets_keep_their_notifications_and_tell_eventbridge_too(self):
        self.assertEqual(len(self.notifications), 3)
        self.assertEqual(self.read_notifications(), {**self.notifications, "EventBridgeConfiguration": {}})
        self.assertEqual(self.read_notifications(CHATS), {"EventBridgeConfiguration": {}})

    def test_a_bucket_that_cannot_be_changed_is_told_of(self):
        properties = {"BucketName": "there-is-none", "Buckets": "there-is-none"}
        refused, deleted = self.answers(
            "RecordingStorage", *((kind, "Custom::BucketEvents", properties) for kind in ("Create", "Delete"))
        )
        self.assertEqual(refused["Status"], "FAILED")
        self.assertIn("there-is-none", refused["Reason"])
        self.assertIn("TurnOnBucketEvents=false", refused["Reason"])
        self.assertEqual(refused["PhysicalResourceId"], "there-is-none")
        self.assertEqual(deleted["Status"], "SUCCESS")

    def test_an_instance_that_cannot_be_deployed_for_is_told_of(self):
        self.client("s3").create_bucket(
            Bucket="in-another-region", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        cases = [
            ("f000", "us-east-1", "there is no Amazon Connect instance"),
            ("f000", "eu-central-1", "is of another region than this stack"),
            ("f001", "us-east-1", "stores no call recordings in S3"),
            ("f002", "us-east-1", "there is no bucket there-is-none"),
            ("f003", "us-east-1", "the bucket in-another-region is of the region eu-central-1"),
        ]
        arns = [
            f"arn:aws:connect:{region}:123456789012:instance/00000000-0000-4000-8000-00000000{number}"
            for number, region, _ in cases
        ]
        answers = self.answers(
            "RecordingStorage",
            *(
                (
                    "Create",
                    "Custom::InstanceStorage",
                    {"InstanceArn": arn, "BucketName": "", "Endpoint": "https://example.com", "Change": "1"},
                )
                for arn in arns
            ),
        )
        for arn, (_, _, expected), answer in zip(arns, cases, answers, strict=True):
            with self.subTest(expected):
                self.assertEqual((answer["Status"], answer["PhysicalResourceId"]), ("FAILED", arn))
                self.assertIn(expected, answer["Reason"])

    def test_nothing_secret_is_in_the_template_or_the_functions_environment(self):
        cloudformation = self.client("cloudformation")
        template = json.dumps(cloudformation.get_template(StackName=STACK)["TemplateBody"])
        stack = json.dumps(cloudformation.describe_stacks(StackName=STACK)["Stacks"], default=str)
        self.assertNotIn(CLIENT_SECRET, template + stack)
        for name in self.functions.values():
            function = self.client("lambda").get_function_configuration(FunctionName=name)
            self.assertLessEqual(
                set(function["Environment"]["Variables"]),
                {"TABLE_NAME", "INTEGRATION", "LOG_LEVEL", "STACK_NAME", "RECORDING_FOLDERS"},
            )


class LeftToOthers(Deployed):
    """What a stack need not do itself: make table and secret, turn the bucket's events on, take events."""

    @classmethod
    def parameters(cls):
        theirs = cls.client("secretsmanager").create_secret(Name="someone-elses", SecretString="{}")
        table = {
            key: value
            for key, value in json.loads(json.dumps(RESOURCES["Table"]["Properties"])).items()
            if key in ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
        }
        cls.client("dynamodb").create_table(TableName="of-a-stack-that-is-gone", **table)
        return {
            "SecretArn": theirs["ARN"],
            "TurnOnBucketEvents": "false",
            "TableName": "of-a-stack-that-is-gone",
            "TakeContactEvents": "false",
            "RecordingBucket": BUCKET,
        }

    def test_it_uses_their_secret_and_table_and_leaves_the_bucket_alone(self):
        self.assertIn("someone-elses", self.outputs["SecretArn"])
        self.assertEqual(self.outputs["TableName"], "of-a-stack-that-is-gone")
        self.assertEqual(self.client("dynamodb").list_tables()["TableNames"], ["of-a-stack-that-is-gone"])
        self.assertEqual(self.invoke("ContactStart", event("contact-start"))["status"], "delivered")
        self.assertEqual(self.read_notifications(), self.notifications)

    def test_it_takes_its_own_objects_and_no_contact_events(self):
        self.assertEqual(self.taken({}, "contact-end"), [])
        self.assertEqual(self.taken({}, "contact-answered-event"), [])
        for sample in (
            "recording-available",
            "recording-available-transcript",
            "recording-available-analysis",
        ):
            self.assertEqual(self.taken({}, sample), ["RecordingAvailable"], sample)
        for key, expected in [
            ("connect/example/ScreenRecordings/2026/02/04/x.mp4", ["RecordingAvailable"]),
            ("connect/example/Attachments/chat/2026/02/04/x.pdf", ["RecordingAvailable"]),
            ("connect/theirs/CallRecordings/2026/02/04/x.wav", []),
            ("CallRecordings/2026/02/04/x.wav", []),
        ]:
            self.assertEqual(self.taken({"object": {"key": key}}, "recording-available"), expected, key)


class OutageOfTheTable(Deployed):
    """Events wait for it, in the queue of their function."""

    def setUp(self):
        self.functions_client = self.client("lambda")
        self.name = self.functions["ContactEnd"]
        # The wait is not what is tried here.
        self.set_queue(VisibilityTimeout="2")
        self.set_table("ContactEnd", "another-table")

    def set_queue(self, **attributes):
        self.client("sqs").set_queue_attributes(
            QueueUrl=self.physical_id("ContactEndQueue"), Attributes=attributes
        )

    def contact(self):
        """Starts a contact of its own, and returns its id and the event of its end."""
        contact_id, start, end = str(uuid.uuid4()), event("contact-start"), event("contact-end")
        start["Details"]["ContactData"]["ContactId"] = end["detail"]["contactId"] = contact_id
        self.assertEqual(self.invoke("ContactStart", start)["status"], "delivered")
        return contact_id, end

    def ends(self, contact_id):
        """Waits until Dynamics knows that the contact has ended, and the queue is empty."""
        wait("end", lambda: self.system.record(contact_id)["category"], 60)
        wait("empty queue", lambda: self.messages("ContactEndQueue") == 0, 60)

    def received(self, times):
        """Waits until the function's log says so often that an event could not be stored."""
        wait("failure", lambda: self.logged("ContactEnd", "another-table") >= times, 60)

    def test_an_event_waits_and_is_delivered_when_it_is_over(self):
        contact_id, end = self.contact()
        entry = {
            "Source": end["source"],
            "DetailType": end["detail-type"],
            "Detail": json.dumps(end["detail"]),
        }
        self.client("events").put_events(Entries=[entry])
        self.received(2)
        self.assertEqual((self.messages("ContactEndQueue"), self.messages("DeadLetters")), (1, 0))
        self.set_table("ContactEnd", self.outputs["TableName"])
        self.ends(contact_id)

    def test_an_asynchronous_invocation_that_failed_waits_too(self):
        contact_id, end = self.contact()
        self.functions_client.invoke(FunctionName=self.name, InvocationType="Event", Payload=json.dumps(end))
        wait("event in the queue", lambda: self.messages("ContactEndQueue") == 1, 60)
        self.set_table("ContactEnd", self.outputs["TableName"])
        self.ends(contact_id)

    def test_what_was_given_up_is_kept_and_can_be_sent_back(self):
        contact_id, end = self.contact()
        policy = {
            "deadLetterTargetArn": self.outputs["DeadLettersArn"],
            "maxReceiveCount": 2,
        }
        self.set_queue(RedrivePolicy=json.dumps(policy))
        sqs = self.client("sqs")
        sqs.send_message(QueueUrl=self.physical_id("ContactEndQueue"), MessageBody=json.dumps(end))
        wait("dead letter", lambda: self.messages("DeadLetters") == 1, 60)
        self.set_table("ContactEnd", self.outputs["TableName"])
        # As start-message-move-task does, which the emulator does not know.
        (letter,) = sqs.receive_message(QueueUrl=self.outputs["DeadLettersUrl"], WaitTimeSeconds=1)[
            "Messages"
        ]
        sqs.send_message(QueueUrl=self.physical_id("ContactEndQueue"), MessageBody=letter["Body"])
        self.ends(contact_id)


class ContactRecords(Deployed):
    """Contact records out of the stream that the stack makes, and what was said out of the bucket."""

    @classmethod
    def parameters(cls):
        return {"ContactRecordStream": "new"}

    @classmethod
    def configuration(cls):
        return json.loads((RECIPES / "conversation.json").read_text())

    def start(self, contact_id):
        sent = event("contact-start")
        sent["Details"]["ContactData"]["ContactId"] = contact_id
        self.assertEqual(self.invoke("ContactStart", sent)["status"], "delivered")

    def put(self, *records):
        """Puts contact records into the stream, as Amazon Connect does; a text as it is."""
        data = [record if isinstance(record, str) else json.dumps(record) for record in records]
        answer = self.client("kinesis").put_records(
            StreamName=self.physical_id("ContactRecords"),
            Records=[{"Data": text.encode(), "PartitionKey": "1"} for text in data],
        )
        self.assertEqual(answer["FailedRecordCount"], 0, answer)

    def duration(self, contact_id):
        return (self.system.record(contact_id) or {}).get("actualdurationminutes")

    def test_they_complete_and_make_records_and_the_newest_wins(self):
        older, lost = event("contact-completed"), event("lost/01-contact-completed")
        newer = older | {
            "LastUpdateTimestamp": "2026-02-04T22:00:00Z",
            "DisconnectTimestamp": "2026-02-04T21:40:30Z",
        }
        self.start(CONTACT)
        self.assertIsNone(self.duration(CONTACT))
        self.assertIsNone(self.system.record(lost["ContactId"]))

        # What nobody can read holds nothing up.
        of_no_use = {"ContactId": "of no use", "InstanceARN": INSTANCE}
        self.put(of_no_use, older | {"LastUpdateTimestamp": None}, older, lost)
        wait("completed record", lambda: self.duration(CONTACT) == 7)
        wait("record of a contact whose events were lost", lambda: self.duration(lost["ContactId"]) == 5)
        self.assertEqual(self.system.record(lost["ContactId"])["phonenumber"], "+15555550100")
        self.assertEqual(self.logged("ContactCompleted", "the event cannot be read"), 2)

        self.put(newer, older)
        answered = ("the event is answered", CONTACT)
        wait("answer to the last", lambda: self.logged("ContactCompleted", *answered) == 3)
        self.assertEqual(self.duration(CONTACT), 27)
        self.assertEqual(self.messages("GivenUpRecords"), 0)

    def test_a_record_that_cannot_be_stored_is_read_again(self):
        contact_id = str(uuid.uuid4())
        self.start(contact_id)
        self.set_table("ContactCompleted", "another-table")
        self.put(event("contact-completed") | {"ContactId": contact_id})
        wait("failures", lambda: self.logged("ContactCompleted", "another-table", contact_id) >= 2, 60)
        self.set_table("ContactCompleted", self.outputs["TableName"])
        wait("completed record", lambda: self.duration(contact_id) == 7, 60)

    def test_contact_events_do_not_stand_for_them(self):
        self.assertEqual(self.taken({}, "contact-completed-event"), [])
        self.assertEqual(self.taken({}, "contact-end"), ["ContactEnd"])

    def test_what_was_said_is_read_in_the_bucket(self):
        """With the rights of the function's role."""
        contact_id = str(uuid.uuid4())
        self.start(contact_id)
        _, file = event("recording-available-analysis")["detail"]["object"]["key"].split("_", 1)
        self.client("s3").put_object(
            Bucket=BUCKET,
            Key=f"Analysis/Voice/Redacted/2026/02/04/{contact_id}_{file}",
            Body=json.dumps(event("objects/redacted-analysis")).encode(),
        )
        description = wait("summary", lambda: self.system.record(contact_id).get("description"))
        self.assertIn("The agent moved the delivery", description)

        def notes():
            found = self.system.records("annotations")
            return [note["notetext"] for note in found if contact_id in json.dumps(note)]

        # Each party's words, one after the other.
        (said,) = wait("note of what was said", notes)
        self.assertIn("deliver", said)


class SwitchIsDone(Deployed):
    def test_once_the_buckets_events_are_on_the_right_for_it_need_not_stay(self):
        self.deploy_with({"TurnOnBucketEvents": "false"})
        resources = self.client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]
        left = {one["LogicalResourceId"] for one in resources if one["ResourceStatus"] != "DELETE_COMPLETE"}
        self.assertEqual(left & {"BucketSwitch", "BucketSwitchPolicy"}, set())
        function = self.client("lambda").get_function(FunctionName=self.functions["RecordingStorage"])
        role = function["Configuration"]["Role"].rsplit("/", 1)[1]
        policies = self.client("iam").list_role_policies(RoleName=role)["PolicyNames"]
        self.assertEqual(sorted(policies), ["log", "storage"])
        self.assertEqual(self.read_notifications(), {**self.notifications, "EventBridgeConfiguration": {}})
        self.assertEqual(self.invoke("ContactStart", event("contact-start"))["status"], "delivered")


class WithAgentPage(Deployed):
    """The page from its bucket to the browser.

    The emulator's CloudFront serves a distribution at the emulator's port, by the name in Host, and believes
    a header that the browser came by https. Amazon Connect, which would approve the page and add it to the
    workspace, it has none.
    """

    SETTINGS = {
        "MakeAgentPage": "true",
        "AgentPageInstanceUrl": "https://example.my.connect.aws",
        "AgentPageEnvironments": "https://a.crm.dynamics.com,https://b.crm4.dynamics.com",
        "AgentPageAppId": "a0c1d2e3-0000-4000-8000-00000000a001",
        "AgentPageWorkspace": "true",
    }

    @classmethod
    def parameters(cls):
        return cls.SETTINGS

    def get(self, path, scheme="https"):
        """What a browser gets at a path of the page: the status, the headers and the body."""
        host = urllib.parse.urlsplit(self.outputs["AgentPageUrl"]).netloc
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.url).netloc, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Host": host, "X-Forwarded-Proto": scheme})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def json(self, path):
        status, headers, body = self.get(path)
        self.assertEqual((status, headers["Content-Type"]), (200, "application/json"), body)
        return json.loads(body)


class AgentPage(WithAgentPage):
    def test_browsers_get_its_files_with_its_policies(self):
        dist = PROJECT / "agent" / "dist"
        files = {path.name for path in dist.iterdir()}
        objects = self.client("s3").list_objects_v2(Bucket=self.physical_id("AgentPageBucket"))["Contents"]
        keys = {one["Key"] for one in objects}
        self.assertEqual(keys, files | {"settings.json", "channel-provider.json"})
        kinds = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
        for path, file in [("/", "index.html"), ("/index.html?host=workspace", "index.html")] + [
            (f"/{name}", name) for name in files
        ]:
            with self.subTest(path):
                status, headers, body = self.get(path)
                self.assertEqual(status, 200)
                content = (dist / file).read_bytes()
                if file == "index.html":
                    # It ends with a mark of the policies.
                    self.assertRegex(body.removeprefix(content), rb"^<!-- [0-9a-f]{16} -->\n$")
                else:
                    self.assertEqual(body, content)
                kind = kinds[pathlib.Path(file).suffix]
                self.assertEqual(headers["Content-Type"], f"{kind}; charset=utf-8")
                self.assertEqual(headers["Cache-Control"], "no-cache")
                self.assertTrue(headers["ETag"])
                policy = headers["Content-Security-Policy"]
                framing = (
                    "https://example.my.connect.aws https://a.crm.dynamics.com https://b.crm4.dynamics.com"
                )
                self.assertIn(f"frame-ancestors {framing}", policy)
                self.assertIn(
                    'microphone=(self "https://example.my.connect.aws")', headers["Permissions-Policy"]
                )
                self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
                self.assertEqual(headers["Referrer-Policy"], "no-referrer")
                self.assertIn("max-age=31536000", headers["Strict-Transport-Security"])
                self.assertIsNone(headers["X-Frame-Options"])

    def test_it_knows_its_settings_and_its_own_address(self):
        settings = self.json("/settings.json")
        self.assertEqual(settings["instanceUrl"], "https://example.my.connect.aws")
        self.assertEqual(settings["appId"], "a0c1d2e3-0000-4000-8000-00000000a001")
        self.assertEqual(settings["waitSeconds"], 10)
        provider = self.json("/channel-provider.json")
        self.assertEqual(provider["msdyn_landingurl"], self.outputs["AgentPageDynamicsUrl"])
        page, *environments = self.outputs["AgentPageApprovedOrigins"].split(",")
        self.assertEqual(page, self.outputs["AgentPageUrl"])
        self.assertEqual(environments, ["https://a.crm.dynamics.com", "https://b.crm4.dynamics.com"])

    def test_nobody_gets_it_another_way(self):
        status, headers, _ = self.get("/settings.json", "http")
        self.assertEqual((status, headers["Location"][:8]), (301, "https://"))
        status, _, _ = self.get("/there-is-none")
        self.assertEqual(status, 403)
        anonymous = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            config=botocore.config.Config(signature_version=botocore.UNSIGNED),
        )
        with self.assertRaises(anonymous.exceptions.ClientError) as refused:
            anonymous.get_object(Bucket=self.physical_id("AgentPageBucket"), Key="index.html")
        self.assertEqual(refused.exception.response["Error"]["Code"], "AccessDenied")

    def test_settings_that_are_wrong_are_told_of(self):
        wrong = {"InstanceUrl": "", "Environments": "https://*.dynamics.com"}
        (refused,) = self.answers("AgentPageFiles", ("Create", "Custom::AgentPageSettings", wrong))
        self.assertEqual(refused["Status"], "FAILED")
        for expected in ("InstanceUrl: ", "Environments: ", "AgentPageInstanceUrl"):
            self.assertIn(expected, refused["Reason"])
        gone = {"BucketName": "there-is-none", "PageUrl": "https://example.com"} | wrong
        (deleted,) = self.answers("AgentPageFiles", ("Delete", "Custom::AgentPageContent", gone))
        self.assertEqual(deleted["Status"], "SUCCESS")


class AgentPageChanges(WithAgentPage):
    def test_the_next_deployment_brings_what_has_changed_and_the_last_takes_all_away(self):
        address = self.outputs["AgentPageUrl"]
        changed = self.SETTINGS | {
            "AgentPageEnvironments": "https://c.crm.dynamics.com",
            "AgentPageWaitSeconds": "20",
        }
        self.deploy_with(changed)
        settings = self.json("/settings.json")
        self.assertEqual(settings["waitSeconds"], 20)
        _, headers, _ = self.get("/")
        self.assertIn("https://c.crm.dynamics.com", headers["Content-Security-Policy"])
        self.assertNotIn("https://a.crm.dynamics.com", headers["Content-Security-Policy"])

        bucket = self.physical_id("AgentPageBucket")
        self.client("s3").delete_object(Bucket=bucket, Key="page.js")
        self.assertEqual(self.get("/page.js")[0], 403)
        with tempfile.TemporaryDirectory() as folder:
            other = pathlib.Path(folder) / "build"
            shutil.copytree(BUILT, other)
            (other / "AgentPageFiles" / "another-file").write_text("as if the code were another one")
            self.deploy_with(changed, other)
        self.assertEqual(self.get("/page.js")[0], 200)
        self.assertEqual(self.json("/channel-provider.json")["msdyn_landingurl"][: len(address)], address)

        self.deploy_with({"MakeAgentPage": "false"})
        resources = self.client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]
        left = {one["LogicalResourceId"] for one in resources if one["ResourceStatus"] != "DELETE_COMPLETE"}
        self.assertEqual({name for name in left if name.startswith("AgentPage")}, set())
        buckets = {one["Name"] for one in self.client("s3").list_buckets()["Buckets"]}
        self.assertNotIn(bucket, buckets)
        self.assertEqual(self.invoke("ContactStart", event("contact-start"))["status"], "delivered")


class DeletedStack(Deployed):
    @classmethod
    def parameters(cls):
        return {"ContactRecordStream": "new"} | WithAgentPage.SETTINGS

    def test_it_leaves_the_switch_the_table_the_secret_and_what_waits(self):
        cloudformation = self.client("cloudformation")
        cloudformation.delete_stack(StackName=STACK)

        def gone():
            stacks = cloudformation.list_stacks()["StackSummaries"]
            return [
                stack
                for stack in stacks
                if stack["StackName"] == STACK and stack["StackStatus"] == "DELETE_COMPLETE"
            ]

        wait("deleted stack", gone, 120)
        self.assertEqual(self.read_notifications(), {**self.notifications, "EventBridgeConfiguration": {}})
        buckets = {one["Name"] for one in self.client("s3").list_buckets()["Buckets"]}
        self.assertEqual(buckets, {BUCKET, CHATS, "artifacts"})
        self.assertIn(self.outputs["TableName"], self.client("dynamodb").list_tables()["TableNames"])
        self.client("secretsmanager").describe_secret(SecretId=self.outputs["SecretArn"])
        (stream,) = self.client("kinesis").list_streams()["StreamNames"]
        self.assertIn("contactrecords", stream.lower())
        queues = self.client("sqs").list_queues()["QueueUrls"]
        for name in ("DeadLetters", "GivenUpRecords", *(f"{step}Queue" for step in STEPS)):
            self.assertEqual(len([queue for queue in queues if f"-{name}-" in queue]), 1, name)


if __name__ == "__main__":
    unittest.main()
