"""What template.yaml, samconfig.toml and env.json say, read as AWS's tools read them."""

import contextlib
import fnmatch
import functools
import io
import json
import re
import shutil
import tempfile
import unittest
import unittest.mock

import boto3
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER
from samcli.cli.types import CfnParameterOverridesType
from samcli.commands.deploy.guided_config import GuidedConfig
from samcli.lib.config.samconfig import SamConfig
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
from samcli.local.lambdafn.env_vars import EnvironmentVariables
from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from machine import FUNCTIONS, PROJECT, local_system

TEMPLATE = yaml_parse((PROJECT / "template.yaml").read_text())
RESOURCES = TEMPLATE["Resources"]
# The functions that a contact's events come to.
STEPS = [name for name in FUNCTIONS if name != "Redelivery"]
# The functions that CloudFormation invokes, which it also tells of their errors.
OF_CLOUDFORMATION = {"RecordingStorage", "AgentPageFiles"}


@functools.cache
def transformed():
    """The template as AWS's SAM makes CloudFormation's of it."""
    template = yaml_parse((PROJECT / "template.yaml").read_text())
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    session = boto3.session.Session(region_name="us-east-1")
    parser = Parser()
    with contextlib.redirect_stderr(None):
        translator = Translator({}, parser, boto_session=session)
        return translator.translate(template, parameter_values={})


# The properties that give a resource its name.
NAMES = {"Name"} | {
    f"{kind}Name"
    for kind in ("Alarm", "Bucket", "Dashboard", "Function", "LogGroup", "Queue", "Role", "Table", "Topic")
}
# What names a resource is in this property of some types, and in the other ones' own properties.
NAMED_IN = ("OriginAccessControlConfig", "ResponseHeadersPolicyConfig")


def is_of_this_stack(name):
    """Whether a resource's name holds its stack's, or names another resource of it."""
    text = json.dumps(name)
    return (
        "${AWS::StackName}" in text
        or any(f'"AWS::{name}"' in text for name in ("StackName", "StackId"))
        or '{"Ref":' in text
        or "Fn::GetAtt" in text
    )


def flow(name):
    """The content of a flow or flow module, as Amazon Connect gets it."""
    text, values = RESOURCES[name]["Properties"]["Content"]["Fn::Sub"]
    for key, value in values.items():
        value = value if isinstance(value, str) else "arn:of:" + value["Fn::GetAtt"][0]
        text = text.replace("${" + key + "}", value)
    return json.loads(text)


def contract(name):
    """What a flow module declares: its inputs and its results, each with its type. A flow declares none."""
    settings = json.loads(RESOURCES[name]["Properties"].get("Settings", "{}"))
    return tuple(
        {
            key: value["type"]
            for key, value in settings.get(part, {}).get("schema", {}).get("properties", {}).items()
        }
        for part in ("input", "resultData")
    )


def texts(value):
    """All texts in a JSON value."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in texts(inner)]
    return [value]


class Ran:
    """What a flow has done: the parameters it gave the function, the contact attributes it set, the type of
    the action that it ended with, and the results that it gave its caller."""

    def __init__(self):
        self.parameters, self.attributes, self.end, self.results = None, {}, None, None


def run(name, reply, inputs=None):
    """Runs a flow or flow module as Amazon Connect does, with this reply of the function, or none when it
    failed, and with what its caller gives it.

    Where Amazon Connect's pages do not say what it does with a path that leads nowhere, this does the worst:
    it gives the function an empty text, sets no attribute, and does not let a module end.
    https://docs.aws.amazon.com/connect/latest/APIReference/flow-language-actions.html
    """
    content, (declared_inputs, declared_results), ran = flow(name), contract(name), Ran()
    actions = {action["Identifier"]: action for action in content["Actions"]}
    now = actions[content["StartAction"]]

    def value(text):
        if text.startswith("$.External."):
            return (reply or {}).get(text.removeprefix("$.External."))
        if text.startswith("$.Modules.Input."):
            key = text.removeprefix("$.Modules.Input.")
            assert declared_inputs[key] == "string", f"{key} cannot be named by a path"
            return (inputs or {}).get(key)
        if text.startswith("$.Agent."):
            return "the agent"
        assert not text.startswith("$"), text
        return text

    for _ in range(20):
        transitions, parameters, error = now["Transitions"], now["Parameters"], None
        if not transitions:
            ran.end = now["Type"]
            ran.results = {key: value(text) for key, text in parameters.get("ResultData", {}).items()}
            assert all(ran.results.values()), f"a result leads nowhere: {ran.results}"
            assert ran.results.keys() <= declared_results.keys(), "a result is not declared"
            assert set(declared_results.values()) <= {"string"}, "only a text can be named by a path"
            return ran
        following = transitions["NextAction"]
        match now["Type"]:
            case "InvokeLambdaFunction":
                given = parameters["LambdaInvocationAttributes"]
                ran.parameters = {key: value(text) or "" for key, text in given.items()}
                error = "NoMatchingError" if reply is None else None
            case "Compare":
                compared = value(parameters["ComparisonValue"]) or ""
                operators = {
                    "TextStartsWith": str.startswith,
                    "TextContains": str.__contains__,
                    "Equals": str.__eq__,
                }
                met = [
                    case["NextAction"]
                    for case in transitions["Conditions"]
                    if operators[case["Condition"]["Operator"]](compared, case["Condition"]["Operands"][0])
                ]
                error = None if met else "NoMatchingCondition"
                following = met[0] if met else None
            case "UpdateContactAttributes":
                found = {key: value(path) for key, path in parameters["Attributes"].items()}
                # All are set, or none.
                error = None if all(found.values()) else "NoMatchingError"
                ran.attributes.update({} if error else found)
            case other:
                raise AssertionError(f"nobody has said what {other} does")
        if error:
            following = next(
                case["NextAction"] for case in transitions["Errors"] if case["ErrorType"] == error
            )
        now = actions[following]
    raise AssertionError("the flow does not end")


# Each flow and flow module, the function that it invokes, and the action that it ends with.
FLOWS = [
    ("ContactStartModule", "ContactStart", "EndFlowModuleExecution"),
    ("ContactAnsweredModule", "ContactAnswered", "EndFlowModuleExecution"),
    ("ContactEndModule", "ContactEnd", "EndFlowModuleExecution"),
    ("AgentWhisper", "ContactAnswered", "EndFlowExecution"),
    ("OutboundWhisper", "ContactStart", "EndFlowExecution"),
]


class Flows(unittest.TestCase):
    def test_each_invokes_its_function(self):
        for name, function, _ in FLOWS:
            with self.subTest(name):
                actions = flow(name)["Actions"]
                invoke = next(action for action in actions if action["Type"] == "InvokeLambdaFunction")
                self.assertEqual(invoke["Parameters"]["LambdaFunctionARN"], f"arn:of:{function}")
                self.assertEqual(invoke["Parameters"]["InvocationTimeLimitSeconds"], "8")

    def test_the_agent_is_asked_for_only_where_there_is_one(self):
        """`$.Agent.UserName` never resolves in an inbound flow, so nor in a disconnect flow.

        https://docs.aws.amazon.com/connect/latest/adminguide/connect-attrib-list.html
        """
        asking = [name for name, _, _ in FLOWS if "$.Agent." in json.dumps(flow(name))]
        self.assertEqual(asking, ["AgentWhisper", "OutboundWhisper"])
        self.assertEqual(
            [RESOURCES[name]["Properties"]["Type"] for name in asking], ["AGENT_WHISPER", "OUTBOUND_WHISPER"]
        )

    def test_every_flow_and_module_is_run_here_and_waits_for_its_function(self):
        kinds = ("AWS::Connect::ContactFlow", "AWS::Connect::ContactFlowModule")
        self.assertEqual(
            {name for name, one in RESOURCES.items() if one["Type"] in kinds}, {name for name, _, _ in FLOWS}
        )
        for name, function, _ in FLOWS:
            # Amazon Connect publishes no flow with a function that is not the instance's.
            self.assertEqual(RESOURCES[name]["DependsOn"], f"{function}Association", name)

    def test_each_is_complete(self):
        for name, _, _ in FLOWS:
            with self.subTest(name):
                content = flow(name)
                identifiers = [action["Identifier"] for action in content["Actions"]]
                self.assertEqual(len(identifiers), len(set(identifiers)))
                self.assertEqual(set(content["Metadata"]["ActionMetadata"]), set(identifiers))
                for action in content["Actions"]:
                    transitions = action["Transitions"]
                    targets = [transitions.get("NextAction", identifiers[0])]
                    for kind in ("Conditions", "Errors"):
                        targets += [case["NextAction"] for case in transitions.get(kind, [])]
                    self.assertLessEqual(set(targets), set(identifiers))

    def test_a_modules_parts_agree(self):
        for name, _, end in FLOWS:
            with self.subTest(name):
                content = flow(name)
                self.assertEqual("Settings" in content, end == "EndFlowModuleExecution")
                self.assertEqual("Settings" in RESOURCES[name]["Properties"], end == "EndFlowModuleExecution")
                # Amazon Connect publishes no flow with an empty text in it.
                for action in content["Actions"]:
                    self.assertNotIn("", texts([action["Parameters"], action["Transitions"]]))

    def test_each_remembers_the_record_and_the_page_and_passes_the_status_on(self):
        reply = {
            "status": "delivered",
            "recordId": "5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90",
            "recordUrl": "https://example.crm.dynamics.com/main.aspx?etn=phonecall",
            "screenPopUrl": "https://example.crm.dynamics.com/main.aspx?pagetype=entityrecord",
            "screenPopTarget": "tab",
            "customerCount": "1",
            "customerId": "c0000000-0000-4000-8000-000000000001",
            "customerName": "Ada Example",
        }
        expected = {key: value for key, value in reply.items() if key != "status"}
        for name, _, end in FLOWS:
            with self.subTest(name):
                ran = run(name, reply)
                self.assertEqual((ran.attributes, ran.end), (expected | {"recordStatus": "delivered"}, end))
                results = {"status": "delivered"} if end == "EndFlowModuleExecution" else {}
                self.assertEqual(ran.results, results)

    def test_each_says_why_it_was_not_delivered_and_goes_on_whatever_happens(self):
        gone = "the function could not be invoked, or did not answer in time"
        for name, _, end in FLOWS:
            for reply, status, message in [
                (None, "failed", gone),
                ({"status": "failed", "message": "no table"}, "failed", "no table"),
                ({"status": "skipped", "message": "not configured"}, "skipped", "not configured"),
            ]:
                with self.subTest(name, reply=reply):
                    ran = run(name, reply)
                    said = {"recordStatus": status, "recordMessage": message}
                    self.assertEqual((ran.attributes, ran.end), (said, end))
                    results = {"status": status, "message": message}
                    self.assertEqual(ran.results, results if end == "EndFlowModuleExecution" else {})

    def test_a_missing_page_takes_nothing_from_the_record(self):
        record = {"recordId": "5d3f6a1e", "recordUrl": "https://example.crm.dynamics.com/main.aspx"}
        said = {"recordStatus": "pending", "recordMessage": "waits"}
        for name, _, _ in FLOWS:
            with self.subTest(name):
                ran = run(name, {"status": "pending", "message": "waits", **record})
                self.assertEqual(ran.attributes, record | said)

    def test_a_module_passes_the_integration_and_the_agent_on(self):
        reply = {"status": "delivered"}
        inputs = {"integration": "sales", "Username": "agent@example.com"}
        for name, taken in [
            ("ContactStartModule", ["integration"]),
            ("ContactAnsweredModule", ["integration", "Username"]),
            ("ContactEndModule", ["integration"]),
        ]:
            with self.subTest(name):
                self.assertEqual(list(contract(name)[0]), taken)
                self.assertEqual(run(name, reply, inputs).parameters, {key: inputs[key] for key in taken})
                # The function takes nothing for the default integration: test_functions.py.
                self.assertEqual(run(name, reply).parameters, dict.fromkeys(taken, ""))
        for whisper in ("AgentWhisper", "OutboundWhisper"):
            self.assertEqual(run(whisper, reply).parameters, {"Username": "the agent"}, whisper)


def alarms():
    """Each alarm's metrics, by its name: their namespaces, names and dimensions."""
    found = {}
    for name, resource in RESOURCES.items():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            properties = resource["Properties"]
            queries = [
                query["Fn::If"][1] if "Fn::If" in query else query for query in properties.get("Metrics", [])
            ]
            metrics = [query["MetricStat"]["Metric"] for query in queries if "MetricStat" in query]
            found[name] = [
                (
                    metric["Namespace"],
                    metric["MetricName"],
                    {dimension["Name"]: dimension["Value"] for dimension in metric["Dimensions"]},
                )
                for metric in metrics or [properties]
            ]
    return found


# What redelivery writes each minute; test_functions.py sees that it does.
GAUGES = {"WaitingContacts", "OldestPendingAge", "FailedContacts"}
# What it writes while there is a failed contact.
FAILED_GAUGE = "FailedDaysLeft"


def written():
    """The metrics that the functions write, as metrics.rs says: name, and dimension besides the stack."""
    found = {(name, "") for name in GAUGES | {FAILED_GAUGE}}
    for line in (PROJECT / "shared" / "src" / "metrics.rs").read_text().splitlines():
        if line.startswith("//! | `"):
            _, names, dimension, *_ = line.split("|")
            found |= {(name, dimension.strip(" `")) for name in re.findall(r"`(\w+)`", names)}
    return found


# What AWS measures of its own services, with the dimension of each.
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
OF_AWS = {
    ("AWS/Lambda", "FunctionName"): {"Invocations", "Errors", "Throttles", "Duration", "IteratorAge"},
    ("AWS/SQS", "QueueName"): {
        "ApproximateAgeOfOldestMessage",
        "ApproximateNumberOfMessagesVisible",
        "ApproximateNumberOfMessagesNotVisible",
        "NumberOfMessagesReceived",
        "NumberOfMessagesDeleted",
    },
    ("AWS/Events", "RuleName"): {"FailedInvocations"},
}
# What only the dashboard shows. Whether anything has failed, FailedContacts tells.
WITHOUT_ALARM = {"Delivered", "Pending", "Skipped", "Failed", "DynamicsLatency", "WaitingContacts"}


class Metrics(unittest.TestCase):
    def test_every_metric_of_an_alarm_is_measured(self):
        for name, metrics in alarms().items():
            for namespace, metric, dimensions in metrics:
                with self.subTest(name, metric=metric):
                    if namespace == "ConnectDynamics":
                        self.assertIn((metric, ""), written())
                        self.assertEqual(dimensions, {"Stack": {"Ref": "AWS::StackName"}})
                    else:
                        (dimension,) = dimensions
                        self.assertIn(metric, OF_AWS[namespace, dimension])

    def test_every_metric_that_is_written_has_an_alarm_or_is_known_to_need_none(self):
        watched = {metric for metrics in alarms().values() for _, metric, _ in metrics}
        self.assertEqual({name for name, _ in written()} - watched, WITHOUT_ALARM)

    def test_an_alarm_over_all_functions_queues_or_rules_forgets_none(self):
        def all_of(kind, without=()):
            return sorted(
                name
                for name, resource in RESOURCES.items()
                if resource["Type"] == kind and name not in without
            )

        functions = all_of("AWS::Serverless::Function", OF_CLOUDFORMATION)
        queues = all_of("AWS::SQS::Queue", ["DeadLetters", "GivenUpRecords"])
        for name, expected in [
            ("ErrorsAlarm", functions),
            ("ThrottlesAlarm", functions),
            ("EventsWaitingAlarm", queues),
            ("EventsRefusedAlarm", sorted(queues * 2)),
            ("RulesFailingAlarm", all_of("AWS::Events::Rule")),
        ]:
            with self.subTest(name):
                watched = []
                for _, _, dimensions in alarms()[name]:
                    ((_, value),) = dimensions.items()
                    watched.append(value.get("Ref") or value["Fn::GetAtt"][0])
                self.assertEqual(sorted(watched), expected)

    def test_an_alarm_over_several_metrics_takes_each_from_where_it_says(self):
        """`r3` and `d3`, say, are of the same queue."""
        queries = RESOURCES["EventsRefusedAlarm"]["Properties"]["Metrics"][1:]
        by_id = {query["Id"]: query["MetricStat"]["Metric"] for query in queries}
        self.assertEqual(set(by_id), {f"{letter}{number}" for letter in "rd" for number in range(1, 6)})
        expression = RESOURCES["EventsRefusedAlarm"]["Properties"]["Metrics"][0]["Expression"]
        for number in range(1, 6):
            self.assertIn(f"(FILL(r{number}, 0) > 0 AND FILL(d{number}, 0) < 1)", expression)
            received, deleted = by_id[f"r{number}"], by_id[f"d{number}"]
            self.assertEqual(received["Dimensions"], deleted["Dimensions"])
            self.assertEqual(received["MetricName"], "NumberOfMessagesReceived")
            self.assertEqual(deleted["MetricName"], "NumberOfMessagesDeleted")

    def test_what_alarms_cost_is_told_right(self):
        count = sum(len(metrics) for metrics in alarms().values())
        self.assertIn(f"| {count} metrics x 0.10 |", (PROJECT / "docs" / "cost.md").read_text())

    def test_every_alarm_is_explained(self):
        text = (PROJECT / "docs" / "troubleshooting.md").read_text()
        for name in alarms():
            self.assertTrue(f"\n| {name.removesuffix('Alarm')} |" in text, name)

    def test_the_functions_are_told_the_stack_that_they_measure_for(self):
        variables = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
        self.assertEqual(variables["STACK_NAME"], {"Ref": "AWS::StackName"})

    def test_the_dashboard_shows_what_is_measured_for_the_stack(self):
        text, values = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
        lists = {key: set(re.findall(r"\$\{(\w+)", value["Fn::Sub"])) for key, value in values.items()}
        shown = set()
        for widget in json.loads(text)["widgets"]:
            for first, *rest in widget["properties"]["metrics"]:
                if isinstance(first, str):
                    name, dimension, value = rest[:3]
                    if first == "ConnectDynamics":
                        self.assertEqual((dimension, value), ("Stack", "${AWS::StackName}"), name)
                        self.assertIn((name, ""), written())
                        shown.add(name)
                    else:
                        self.assertIn(name, OF_AWS[first, dimension])
                    continue
                search = r"""SEARCH\('\{(.*?)\} MetricName="(\w+)" (\w+)=(.*?)', '\w+', \d+\)"""
                schema, name, dimension, value = re.search(search, first["expression"]).groups()
                if schema.startswith("ConnectDynamics"):
                    self.assertEqual((schema, value), ("ConnectDynamics,Stack,Step", '"${AWS::StackName}"'))
                    self.assertIn((name, "Step"), written())
                    shown.add(name)
                else:
                    namespace, named = schema.split(",")
                    self.assertEqual(named, dimension)
                    self.assertIn(name, OF_AWS[namespace, dimension])
                    self.assertEqual(value, {"AWS/Lambda": "${Functions}", "AWS/SQS": "${Queues}"}[namespace])
        self.assertEqual(shown, {name for name, _ in written()})
        functions = {name for name, one in RESOURCES.items() if one["Type"] == "AWS::Serverless::Function"}
        queues = {name for name, one in RESOURCES.items() if one["Type"] == "AWS::SQS::Queue"}
        self.assertEqual(
            lists,
            {
                "Functions": functions - OF_CLOUDFORMATION,
                "Queues": queues - {"DeadLetters", "GivenUpRecords"},
            },
        )


class Names(unittest.TestCase):
    def test_two_stacks_fit_into_one_account_and_region(self):
        """No resource has a name that another stack would give it, in what CloudFormation gets from SAM."""
        for name, resource in transformed()["Resources"].items():
            # An alias is a function's own.
            if resource["Type"] != "AWS::Lambda::Alias":
                properties = resource.get("Properties", {})
                for key in NAMED_IN:
                    properties = properties.get(key, properties)
                for key in NAMES & properties.keys():
                    with self.subTest(name, key=key):
                        self.assertTrue(is_of_this_stack(properties[key]))

    def test_queues_take_events_of_every_rule_of_this_account(self):
        """CloudFormation shortens names, so none of them can be in a condition."""
        (statement,) = RESOURCES["QueuesPolicy"]["Properties"]["PolicyDocument"]["Statement"]
        self.assertEqual(
            statement["Condition"]["StringEquals"], {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
        )
        source = statement["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Sub"]
        self.assertEqual(source, "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/*")
        self.assertNotIn("StackName", json.dumps(statement))
        targets = [
            target["Arn"]["Fn::GetAtt"][0]
            for rule in RESOURCES.values()
            if rule["Type"] == "AWS::Events::Rule"
            for target in rule["Properties"]["Targets"]
        ]
        allowed = {queue["Ref"] for queue in RESOURCES["QueuesPolicy"]["Properties"]["Queues"]}
        self.assertLessEqual(set(targets), allowed)


class Queues(unittest.TestCase):
    def test_each_functions_events_wait_in_a_queue_of_its_own(self):
        resources = transformed()["Resources"]
        for name in STEPS:
            with self.subTest(name):
                queue = resources[f"{name}Queue"]["Properties"]
                arn = {"Fn::GetAtt": [f"{name}Queue", "Arn"]}
                mappings = [
                    one["Properties"]
                    for one in resources.values()
                    if one["Type"] == "AWS::Lambda::EventSourceMapping"
                    and one["Properties"]["EventSourceArn"] == arn
                ]
                (mapping,) = mappings
                self.assertEqual(mapping["FunctionName"], {"Ref": name})
                self.assertEqual(mapping["FunctionResponseTypes"], ["ReportBatchItemFailures"])
                self.assertEqual(mapping["BatchSize"], 10)
                self.assertEqual(
                    mapping["ScalingConfig"], {"MaximumConcurrency": {"Ref": "EventConcurrency"}}
                )
                # Lambda's advice, so that no event comes again while a function is still at it.
                self.assertGreaterEqual(
                    queue["VisibilityTimeout"], 6 * resources[name]["Properties"]["Timeout"]
                )
                self.assertEqual(
                    queue["RedrivePolicy"]["deadLetterTargetArn"], {"Fn::GetAtt": ["DeadLetters", "Arn"]}
                )
                tries = queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"]
                self.assertTrue(2 * 86400 < tries < queue["MessageRetentionPeriod"])
                asynchronous = resources[f"{name}EventInvokeConfig"]["Properties"]
                self.assertEqual(asynchronous["DestinationConfig"]["OnFailure"], {"Destination": arn})


class Concurrency(unittest.TestCase):
    def test_it_can_be_reserved_for_what_flows_invoke(self):
        reserved = {
            name: json.loads(json.dumps(one["Properties"]["ReservedConcurrentExecutions"]))
            for name, one in RESOURCES.items()
            if "ReservedConcurrentExecutions" in one.get("Properties", {})
        }
        on_demand = {
            "Fn::If": ["ReservesConcurrency", {"Ref": "FlowReservedConcurrency"}, {"Ref": "AWS::NoValue"}]
        }
        flows = {
            permission.removesuffix("Permission") for permission in RESOURCES if "Permission" in permission
        }
        self.assertEqual(reserved, dict.fromkeys(flows, on_demand))
        # Else no stack could be made in a new account.
        self.assertEqual(TEMPLATE["Parameters"]["FlowReservedConcurrency"]["Default"], 0)

    def test_runs_of_redelivery_that_were_throttled_do_not_begin_all_at_once(self):
        asynchronous = RESOURCES["Redelivery"]["Properties"]["EventInvokeConfig"]
        self.assertEqual(asynchronous["MaximumEventAgeInSeconds"], 60)
        self.assertEqual(asynchronous["MaximumRetryAttempts"], 0)


def statements(role):
    """What a role, or a policy beside it, allows: actions, with the resource and the conditions of each."""
    properties = RESOURCES[role]["Properties"]
    documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [properties])]
    return json.loads(
        json.dumps(
            [
                (statement["Action"], statement["Resource"], statement.get("Condition", {}))
                for document in documents
                for statement in document["Statement"]
            ]
        )
    )


class Roles(unittest.TestCase):
    """The roles of the steps and of redelivery are held to what they use in test_functions.py."""

    def test_there_are_no_roles_but_those_written_here_and_each_takes_the_boundary(self):
        roles = {name for name, one in transformed()["Resources"].items() if one["Type"] == "AWS::IAM::Role"}
        others = {f"{name}Role" for name in (*OF_CLOUDFORMATION, "RedeliverySchedule", "Federation")}
        self.assertEqual(roles, {f"{name}Role" for name in FUNCTIONS} | others)
        for name in roles:
            boundary = RESOURCES[name]["Properties"]["PermissionsBoundary"]
            self.assertEqual(
                boundary,
                {"Fn::If": ["HasBoundary", {"Ref": "PermissionsBoundary"}, {"Ref": "AWS::NoValue"}]},
            )

    def test_only_their_own_service_acts_in_them(self):
        for name in (name for name, one in RESOURCES.items() if one["Type"] == "AWS::IAM::Role"):
            (trust,) = RESOURCES[name]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
            with self.subTest(name):
                if name == "FederationRole":
                    roles = {role["Fn::GetAtt"][0] for role in trust["Principal"]["AWS"]}
                    self.assertEqual(roles, {f"{function}Role" for function in FUNCTIONS})
                elif name == "RedeliveryScheduleRole":
                    self.assertEqual(trust["Principal"], {"Service": "scheduler.amazonaws.com"})
                    account = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
                    self.assertEqual(trust["Condition"], account)
                else:
                    self.assertEqual(trust["Principal"], {"Service": "lambda.amazonaws.com"})

    def test_the_schedule_may_start_redelivery_and_nothing_else(self):
        invoke = ("lambda:InvokeFunction", {"Fn::GetAtt": ["Redelivery", "Arn"]}, {})
        self.assertEqual(statements("RedeliveryScheduleRole"), [list(invoke)])

    def test_the_federation_role_may_get_short_tokens_for_entra_id_and_nothing_else(self):
        ((action, _, condition),) = statements("FederationRole")
        self.assertEqual(action, "sts:GetWebIdentityToken")
        self.assertEqual(
            condition,
            {
                "ForAllValues:StringEquals": {
                    "sts:IdentityTokenAudience": [
                        "api://AzureADTokenExchange",
                        "api://AzureADTokenExchangeUSGov",
                        "api://AzureADTokenExchangeChina",
                    ]
                },
                "Null": {"sts:IdentityTokenAudience": "false"},
                "StringEquals": {"sts:SigningAlgorithm": "RS256"},
                "NumericLessThanEquals": {"sts:DurationSeconds": 300},
            },
        )
        assume = ["sts:AssumeRole", {"Fn::GetAtt": ["FederationRole", "Arn"]}, {}]
        self.assertEqual(statements("FederationPolicy"), [assume])
        roles = RESOURCES["FederationPolicy"]["Properties"]["Roles"]
        self.assertEqual({role["Ref"] for role in roles}, {f"{function}Role" for function in FUNCTIONS})
        for name in ("FederationRole", "FederationPolicy"):
            self.assertEqual(RESOURCES[name]["Condition"], "UsesFederation")
        self.assertEqual(TEMPLATE["Parameters"]["MakeFederationRole"]["Default"], "false")

    def test_the_storage_is_learnt_with_one_right_and_the_switch_has_its_own_while_it_is_wanted(self):
        (learn, log) = statements("RecordingStorageRole")
        self.assertEqual(learn, ["connect:ListInstanceStorageConfigs", {"Ref": "InstanceArn"}, {}])
        self.assertEqual(log[1], {"Fn::GetAtt": ["RecordingStorageLog", "Arn"]})
        ((actions, buckets, _),) = statements("BucketSwitchPolicy")
        self.assertEqual(actions, ["s3:GetBucketNotification", "s3:PutBucketNotification"])
        # What is switched are these buckets, and it is done when the right is there.
        named = [
            re.search(r":s3:::\$\{InstanceStorage\.(\w+)\}$", bucket["Fn::Sub"])[1] for bucket in buckets
        ]
        self.assertEqual(
            set(named), {"BucketName"} | {f"{kind}Bucket" for kind in STORED if kind != "Recordings"}
        )
        self.assertEqual(
            RESOURCES["BucketSwitchPolicy"]["Properties"]["Roles"], [{"Ref": "RecordingStorageRole"}]
        )
        self.assertEqual(RESOURCES["BucketSwitch"]["DependsOn"], "BucketSwitchPolicy")
        for name in ("BucketSwitch", "BucketSwitchPolicy"):
            self.assertEqual(RESOURCES[name]["Condition"], "TurnsOnBucketEvents")
        for name in ("InstanceStorage", "RecordingStorage", "RecordingStorageRole", "RecordingStorageLog"):
            self.assertNotIn("Condition", RESOURCES[name])

    def test_the_stream_may_be_read_in_the_functions_name_and_nothing_else(self):
        """By Lambda, which also writes to the dead letters where the record is that it gave up.

        https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html
        """
        policy = RESOURCES["ContactRecordsPolicy"]
        self.assertEqual(policy["Condition"], "TakesContactRecords")
        self.assertEqual(policy["Properties"]["Roles"], [{"Ref": "ContactCompletedRole"}])
        read, write, decrypt = json.loads(json.dumps(policy["Properties"]["PolicyDocument"]["Statement"]))
        trigger = json.loads(json.dumps(RESOURCES["ContactRecordsTrigger"]))
        self.assertEqual(
            read,
            {
                "Effect": "Allow",
                "Action": [
                    "kinesis:DescribeStream",
                    "kinesis:DescribeStreamSummary",
                    "kinesis:GetRecords",
                    "kinesis:GetShardIterator",
                    "kinesis:ListShards",
                ],
                "Resource": trigger["Properties"]["EventSourceArn"],
            },
        )
        self.assertEqual(
            write,
            {
                "Effect": "Allow",
                "Action": "sqs:SendMessage",
                "Resource": trigger["Properties"]["DestinationConfig"]["OnFailure"]["Destination"],
            },
        )
        condition, decrypt, otherwise = decrypt["Fn::If"]
        self.assertEqual((condition, otherwise), ("HasStreamKey", {"Ref": "AWS::NoValue"}))
        self.assertEqual(
            decrypt,
            {
                "Effect": "Allow",
                "Action": "kms:Decrypt",
                "Resource": {"Ref": "ContactRecordStreamKeyArn"},
                "Condition": {
                    "StringEquals": {"kms:ViaService": {"Fn::Sub": "kinesis.${AWS::Region}.amazonaws.com"}}
                },
            },
        )
        # Lambda refuses a trigger whose function may not read the stream yet.
        self.assertEqual(trigger["DependsOn"], "ContactRecordsPolicy")

    def test_analyses_and_transcripts_may_be_read_and_nothing_else(self):
        roles = RESOURCES["AnalysesPolicy"]["Properties"]["Roles"]
        self.assertEqual(roles, [{"Ref": "RecordingAvailableRole"}, {"Ref": "RedeliveryRole"}])
        (read, decrypt) = statements("AnalysesPolicy")
        self.assertEqual(read[0], "s3:GetObject")
        self.assertEqual(
            [resource["Fn::Sub"].removeprefix("arn:${AWS::Partition}:s3:::") for resource in read[1]],
            [
                "${InstanceStorage.BucketName}/Analysis/*",
                "${InstanceStorage.ChatAnalysesBucket}/Analysis/*",
                "${InstanceStorage.EmailAnalysesBucket}/Analysis/*",
                "${InstanceStorage.TranscriptsBucket}/${InstanceStorage.TranscriptsPrefix}*",
            ],
        )
        self.assertEqual(
            decrypt,
            [
                "kms:Decrypt",
                [
                    {"Fn::GetAtt": ["InstanceStorage", "KeyArn"]},
                    {"Fn::GetAtt": ["InstanceStorage", "TranscriptsKeyArn"]},
                    {"Fn::GetAtt": ["InstanceStorage", "EmailMessagesKeyArn"]},
                ],
                {"StringEquals": {"kms:ViaService": {"Fn::Sub": "s3.${AWS::Region}.amazonaws.com"}}},
            ],
        )


def holds(condition, parameters):
    """Whether a condition of the template holds with these parameters, the others as they are by default."""
    condition = TEMPLATE["Conditions"][condition] if isinstance(condition, str) else condition
    match json.loads(json.dumps(condition)):
        case {"Condition": name}:
            return holds(name, parameters)
        case {"Fn::Equals": [{"Ref": name}, value]}:
            return str(parameters.get(name, TEMPLATE["Parameters"][name].get("Default"))) == value
        case {"Fn::Not": [part]}:
            return not holds(part, parameters)
        case {"Fn::And": parts}:
            return all(holds(part, parameters) for part in parts)
        case {"Fn::Or": parts}:
            return any(holds(part, parameters) for part in parts)
    raise AssertionError(f"nobody has said what {condition} means")


class ContactRecords(unittest.TestCase):
    def test_they_come_from_a_new_stream_from_the_instances_own_or_stand_as_events_for_it(self):
        """By one of these ways and no other, or each would be done twice."""
        theirs = "arn:aws:kinesis:us-east-1:123456789012:stream/theirs"
        ways = {"ContactRecords", "ContactRecordsStorage", "ContactRecordsTrigger", "ContactRecordsPolicy"}
        alarms = {"ContactRecordsLateAlarm", "GivenUpRecordsAlarm"}
        ways |= alarms | {"CompletedRule", "GivenUpRecords"}
        reading = alarms | {"ContactRecordsTrigger", "ContactRecordsPolicy", "GivenUpRecords"}
        for parameters, expected in [
            ({}, {"CompletedRule"}),
            ({"TakeContactEvents": "false"}, set()),
            ({"ContactRecordStream": "new"}, reading | {"ContactRecords", "ContactRecordsStorage"}),
            # Somebody else attaches it.
            ({"ContactRecordStream": "new", "AttachToConnect": "false"}, reading | {"ContactRecords"}),
            ({"ContactRecordStream": theirs}, reading),
            ({"ContactRecordStream": theirs, "TakeContactEvents": "false"}, reading),
            (
                {"ContactRecordStream": theirs, "MakeAlarms": "false"},
                reading - alarms,
            ),
        ]:
            with self.subTest(**parameters):
                there = {name for name in ways if holds(RESOURCES[name]["Condition"], parameters)}
                self.assertEqual(there, expected)

    def test_the_new_stream_is_the_instances_and_the_trigger_reads_it_or_theirs(self):
        storage = json.loads(json.dumps(RESOURCES["ContactRecordsStorage"]["Properties"]))
        arn = {"Fn::GetAtt": ["ContactRecords", "Arn"]}
        self.assertEqual(
            storage,
            {
                "InstanceArn": {"Ref": "InstanceArn"},
                "ResourceType": "CONTACT_TRACE_RECORDS",
                "StorageType": "KINESIS_STREAM",
                "KinesisStreamConfig": {"StreamArn": arn},
            },
        )
        trigger = json.loads(json.dumps(RESOURCES["ContactRecordsTrigger"]["Properties"]))
        self.assertEqual(
            trigger["EventSourceArn"], {"Fn::If": ["MakesStream", arn, {"Ref": "ContactRecordStream"}]}
        )
        self.assertEqual(trigger["FunctionName"], {"Ref": "ContactCompleted"})
        stream = RESOURCES["ContactRecords"]["Properties"]
        self.assertEqual(stream["StreamEncryption"]["EncryptionType"], "KMS")

    def test_a_record_that_cannot_be_stored_is_read_again_and_given_up_before_the_stream_forgets_it(self):
        """So that its place in the stream is written down while it is still there."""
        trigger = json.loads(json.dumps(RESOURCES["ContactRecordsTrigger"]["Properties"]))
        kept = RESOURCES["ContactRecords"]["Properties"]["RetentionPeriodHours"] * 3600
        # And some hours are left to read it by hand.
        self.assertTrue(0.7 * kept < trigger["MaximumRecordAgeInSeconds"] < 0.8 * kept, trigger)
        # As often as that takes.
        self.assertNotIn("MaximumRetryAttempts", trigger)
        self.assertEqual(trigger["FunctionResponseTypes"], ["ReportBatchItemFailures"])
        self.assertEqual(trigger["BisectBatchOnFunctionError"], True)
        self.assertEqual(trigger["StartingPosition"], {"Fn::If": ["MakesStream", "TRIM_HORIZON", "LATEST"]})
        self.assertEqual(
            trigger["DestinationConfig"]["OnFailure"],
            {"Destination": {"Fn::GetAtt": ["GivenUpRecords", "Arn"]}},
        )
        late = RESOURCES["ContactRecordsLateAlarm"]["Properties"]
        self.assertEqual((late["Statistic"], late["Threshold"]), ("Maximum", 3600 * 1000))
        self.assertLess(late["Threshold"] / 1000, trigger["MaximumRecordAgeInSeconds"] / 2)

    def test_what_is_another_instances_or_no_contact_record_is_not_taken(self):
        (one,) = RESOURCES["ContactRecordsTrigger"]["Properties"]["FilterCriteria"]["Filters"]
        pattern = json.loads(json.loads(json.dumps(one["Pattern"]))["Fn::Sub"])
        self.assertEqual(
            pattern, {"data": {"InstanceARN": ["${InstanceArn}"], "ContactId": [{"exists": True}]}}
        )

    def test_its_event_is_taken_as_the_other_contact_events_are(self):
        patterns = {
            name: json.loads(json.dumps(RESOURCES[name]["Properties"]["EventPattern"]))
            for name in ("AnsweredRule", "EndedRule", "CompletedRule")
        }
        types = {name: pattern["detail"].pop("eventType") for name, pattern in patterns.items()}
        self.assertEqual(
            types,
            {
                "AnsweredRule": ["CONNECTED_TO_AGENT"],
                "EndedRule": ["DISCONNECTED"],
                "CompletedRule": ["COMPLETED"],
            },
        )
        self.assertEqual(patterns["CompletedRule"], patterns["EndedRule"])
        self.assertEqual(patterns["AnsweredRule"], patterns["EndedRule"])

    def test_the_parameter_takes_none_new_and_a_streams_arn(self):
        pattern = TEMPLATE["Parameters"]["ContactRecordStream"]["AllowedPattern"]
        for value, is_taken in [
            ("none", True),
            ("new", True),
            ("arn:aws:kinesis:us-east-1:123456789012:stream/contact-records", True),
            ("arn:aws-us-gov:kinesis:us-gov-west-1:123456789012:stream/contact-records", True),
            ("", False),
            ("contact-records", False),
            ("arn:aws:firehose:us-east-1:123456789012:deliverystream/contact-records", False),
        ]:
            self.assertEqual(re.fullmatch(pattern, value) is not None, is_taken, value)


# What an instance stores, as the attributes of InstanceStorage name it.
STORED = ["Recordings", "Transcripts", "Attachments", "ScreenRecordings", "EmailMessages"]


class Storage(unittest.TestCase):
    def test_the_template_reads_only_attributes_that_the_function_gives(self):
        """The function's own test says which those are."""
        rust = (PROJECT / "functions" / "recording-storage" / "src" / "storage.rs").read_text()
        (given,) = re.findall(r"let expected = json!\(\{(.*?)\}\);", rust, re.DOTALL)
        given = set(re.findall(r'"(\w+)": ', given))
        text = json.dumps(RESOURCES)
        read = set(re.findall(r"\$\{InstanceStorage\.(\w+)\}", text))
        read |= set(re.findall(r'"Fn::GetAtt": \["InstanceStorage", "(\w+)"\]', text))
        self.assertEqual(read, given)

    def test_rules_take_each_folder_of_the_instance_in_its_own_bucket_and_the_analyses(self):
        taken = []
        for name, rule in RESOURCES.items():
            if rule["Type"] == "AWS::Events::Rule" and rule["Condition"] == "TakesRecordings":
                pattern = json.loads(json.dumps(rule["Properties"]["EventPattern"]))
                self.assertEqual(
                    (pattern["source"], pattern["detail-type"]), (["aws.s3"], ["Object Created"])
                )
                self.assertEqual(list(pattern["detail"]), ["$or"], name)
                for one in pattern["detail"]["$or"]:
                    (bucket,), (key,) = one["bucket"]["name"], one["object"]["key"]
                    prefix = key["prefix"]
                    prefix = prefix if isinstance(prefix, str) else prefix["Fn::GetAtt"][1]
                    taken.append((bucket["Fn::GetAtt"][1], prefix))
        expected = [(f"{kind}Bucket", f"{kind}Prefix") for kind in STORED]
        for bucket in ("BucketName", "ChatAnalysesBucket", "EmailAnalysesBucket"):
            expected.append((bucket, "Analysis/"))
        self.assertEqual(sorted(taken), sorted(expected))

    def test_only_the_step_of_recordings_is_told_the_folders(self):
        told = {
            name: json.loads(json.dumps(one["Properties"]["Environment"]["Variables"]))
            for name, one in RESOURCES.items()
            if one["Type"] == "AWS::Serverless::Function" and "Environment" in one["Properties"]
        }
        folders = {"Fn::GetAtt": ["InstanceStorage", "Folders"]}
        self.assertEqual(told, {"RecordingAvailable": {"RECORDING_FOLDERS": folders}})

    def test_no_bucket_need_be_typed_in_and_the_instance_can_be_asked_again(self):
        self.assertEqual(TEMPLATE["Parameters"]["RecordingBucket"]["Default"], "")
        properties = json.loads(json.dumps(RESOURCES["InstanceStorage"]["Properties"]))
        self.assertEqual(properties["Change"], {"Ref": "StorageChange"})


class AgentPage(unittest.TestCase):
    PARTS = [name for name in RESOURCES if name.startswith("AgentPage")]

    @staticmethod
    def properties(name):
        return json.loads(json.dumps(RESOURCES[name]["Properties"]))

    def there(self, **parameters):
        return {name for name in self.PARTS if holds(RESOURCES[name]["Condition"], parameters)}

    def test_there_is_none_of_it_unless_it_is_asked_for(self):
        self.assertEqual(self.there(), set())
        self.assertEqual(self.there(AgentPageWorkspace="true"), set())
        outputs = [one for name, one in TEMPLATE["Outputs"].items() if name.startswith("AgentPage")]
        self.assertEqual({one["Condition"] for one in outputs}, {"MakesAgentPage"})
        in_the_workspace = {"AgentPageApplication", "AgentPageApplicationAssociation"}
        everything = set(self.PARTS)
        self.assertEqual(self.there(MakeAgentPage="true", AgentPageWorkspace="true"), everything)
        self.assertEqual(self.there(MakeAgentPage="true"), everything - in_the_workspace)
        # Somebody else approves it and adds it.
        self.assertEqual(
            self.there(MakeAgentPage="true", AgentPageWorkspace="true", AttachToConnect="false"),
            everything - in_the_workspace - {"AgentPageOrigin"},
        )

    def test_each_setting_is_a_parameter_that_reaches_both_resources(self):
        rust = (PROJECT / "agent" / "src" / "lib.rs").read_text()
        (fields,) = re.findall(r"pub struct Parameters \{(.*?)\n\}", rust, re.DOTALL)
        names = ["".join(map(str.capitalize, name.split("_"))) for name in re.findall(r"pub (\w+):", fields)]
        expected = {name: {"Ref": f"AgentPage{name}"} for name in names}
        usual = {"ServiceToken", "ServiceTimeout", "Code"}
        settings, content = self.properties("AgentPageSettings"), self.properties("AgentPageContent")
        self.assertEqual({key: settings[key] for key in settings.keys() - usual}, expected)
        del content["BucketName"], content["PageUrl"]
        self.assertEqual(content, settings)
        parameters = {name for name in TEMPLATE["Parameters"] if name.startswith("AgentPage")}
        self.assertEqual(parameters, {f"AgentPage{name}" for name in names} | {"AgentPageWorkspace"})

    def test_parameters_take_what_they_say_and_nothing_that_would_add_to_a_policy(self):
        for name, value, is_taken in [
            ("InstanceUrl", "", True),
            ("InstanceUrl", "https://example.my.connect.aws", True),
            ("InstanceUrl", "https://example.my.connect.aws/", True),
            ("InstanceUrl", "https://example.awsapps.com/connect/ccp-v2", False),
            ("InstanceUrl", "example.my.connect.aws", False),
            ("Environments", "https://example.crm.dynamics.com", True),
            ("Environments", "https://a.crm.dynamics.com,https://b.crm4.dynamics.com", True),
            ("Environments", "https://a.crm.dynamics.com/", False),
            ("Environments", "https://*.dynamics.com", False),
            ("Environments", "https://a.crm.dynamics.com; script-src *", False),
            ("Environments", "https://a.crm.dynamics.com,", False),
            ("AppId", "a0c1d2e3-0000-4000-8000-00000000a001", True),
            ("AppId", "Customer Service Hub", False),
            ("SignInUrl", "https://login.example.com/sso?instance=1&app=2", True),
            ("SignInUrl", "http://login.example.com", False),
            ("CountryCallingCode", "+1", True),
            ("CountryCallingCode", "1", False),
            ("SessionTemplate", "msdyn_chat_session", True),
            ("SessionTemplate", "a session", False),
        ]:
            with self.subTest(name, value=value):
                pattern = TEMPLATE["Parameters"][f"AgentPage{name}"]["AllowedPattern"]
                self.assertEqual(re.fullmatch(pattern, value) is not None, is_taken)

    def test_other_code_or_other_settings_put_the_files_again(self):
        """CloudFormation asks only when a property changes, and the page is in the code."""
        resources = transformed()["Resources"]
        (version,) = [name for name, one in resources.items() if one["Type"] == "AWS::Lambda::Version"]
        self.assertRegex(version, "^AgentPageFilesVersion")
        # One that a rollback kept would have the same code refused at the next try.
        self.assertEqual(resources[version]["DeletionPolicy"], "Delete")
        for name in ("AgentPageSettings", "AgentPageContent"):
            self.assertEqual(resources[name]["Properties"]["Code"], {"Ref": version})
        # No sooner than the code is there.
        self.assertEqual(resources[version]["Properties"]["FunctionName"], {"Ref": "AgentPageFiles"})
        self.assertEqual(resources[version]["Condition"], "MakesAgentPage")

    def test_the_files_are_taken_away_before_the_bucket_is_and_put_there_before_agents_can_see_them(self):
        before = {"AgentPageBucket", "AgentPageFiles", "AgentPageFilesRole", "AgentPageDistribution"}
        self.assertLessEqual(before, waits_for("AgentPageContent"))
        self.assertIn("AgentPageContent", waits_for("AgentPageApplication"))
        # The circle that the two custom resources are two for.
        self.assertIn("AgentPageSettings", waits_for("AgentPageDistribution"))

    def test_only_cloudfront_reads_the_bucket_for_this_distribution_alone_and_only_the_function_writes(self):
        bucket = self.properties("AgentPageBucket")
        self.assertEqual(set(bucket["PublicAccessBlockConfiguration"].values()), {True})
        self.assertEqual(len(bucket["PublicAccessBlockConfiguration"]), 4)
        self.assertEqual(bucket["OwnershipControls"]["Rules"], [{"ObjectOwnership": "BucketOwnerEnforced"}])
        objects = {"Fn::Sub": "${AgentPageBucket.Arn}/*"}
        read, deny = self.properties("AgentPageBucketPolicy")["PolicyDocument"]["Statement"]
        this = "arn:${AWS::Partition}:cloudfront::${AWS::AccountId}:distribution/${AgentPageDistribution}"
        self.assertEqual(
            read,
            {
                "Effect": "Allow",
                "Principal": {"Service": "cloudfront.amazonaws.com"},
                "Action": "s3:GetObject",
                "Resource": objects,
                "Condition": {"StringEquals": {"aws:SourceArn": {"Fn::Sub": this}}},
            },
        )
        self.assertEqual((deny["Effect"], deny["Principal"], deny["Action"]), ("Deny", "*", "s3:*"))
        self.assertEqual(deny["Condition"], {"Bool": {"aws:SecureTransport": "false"}})
        write, find, log = statements("AgentPageFilesRole")
        self.assertEqual(write, [["s3:PutObject", "s3:DeleteObject"], objects, {}])
        self.assertEqual(find, ["s3:ListBucket", {"Fn::GetAtt": ["AgentPageBucket", "Arn"]}, {}])
        self.assertEqual(log[1], {"Fn::GetAtt": ["AgentPageFilesLog", "Arn"]})
        (origin,) = self.properties("AgentPageDistribution")["DistributionConfig"]["Origins"]
        self.assertEqual(origin["OriginAccessControlId"], {"Ref": "AgentPageAccess"})
        self.assertEqual(origin["DomainName"], {"Fn::GetAtt": ["AgentPageBucket", "RegionalDomainName"]})

    def test_it_is_served_with_the_policies_of_its_settings(self):
        behavior = self.properties("AgentPageDistribution")["DistributionConfig"]["DefaultCacheBehavior"]
        self.assertEqual(behavior["ViewerProtocolPolicy"], "redirect-to-https")
        self.assertEqual(behavior["ResponseHeadersPolicyId"], {"Ref": "AgentPageHeaders"})
        policy = self.properties("AgentPageHeaders")["ResponseHeadersPolicyConfig"]
        headers = policy["SecurityHeadersConfig"]
        # It would keep the page out of Amazon Connect's and Dynamics' frames.
        self.assertNotIn("FrameOptions", headers)
        given = {"Fn::GetAtt": ["AgentPageSettings", "ContentSecurityPolicy"]}
        self.assertEqual(headers["ContentSecurityPolicy"]["ContentSecurityPolicy"], given)
        (permissions,) = policy["CustomHeadersConfig"]["Items"]
        self.assertEqual(permissions["Header"], "Permissions-Policy")
        self.assertEqual(permissions["Value"], {"Fn::GetAtt": ["AgentPageSettings", "PermissionsPolicy"]})
        rust = (PROJECT / "agent" / "src" / "lib.rs").read_text()
        (others,) = re.findall(r"pub const SECURITY_HEADERS.*?= \[(.*?)\];", rust, re.DOTALL)
        self.assertEqual(
            dict(re.findall(r'\("([^"]+)", "([^"]+)"\)', others)),
            # CloudFront knows no other value of the first.
            {
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": headers["ReferrerPolicy"]["ReferrerPolicy"],
            },
        )
        self.assertIn("ContentTypeOptions", headers)
        for one in (*headers.values(), permissions):
            self.assertTrue(one["Override"], one)

    def test_the_workspace_gives_it_the_contact_and_its_tabs_their_own_rights(self):
        application = self.properties("AgentPageApplication")
        source = application["ApplicationSourceConfig"]["ExternalUrlConfig"]
        outputs = json.loads(json.dumps(TEMPLATE["Outputs"]))
        self.assertEqual(source["AccessUrl"], outputs["AgentPageWorkspaceUrl"]["Value"])
        self.assertEqual(application["ApplicationConfig"], {"ContactHandling": {"Scope": "PER_CONTACT"}})
        self.assertIn("allow-popups-to-escape-sandbox", application["IframeConfig"]["Sandbox"])
        page = "https://${AgentPageDistribution.DomainName}"
        self.assertEqual(self.properties("AgentPageOrigin")["Origin"], {"Fn::Sub": page})
        self.assertEqual(outputs["AgentPageUrl"]["Value"], {"Fn::Sub": page})


# Of what CloudFormation's resource types may ask for, what this stack's properties never do. By service, as
# far as the policy speaks of the service at all.
NEVER_ASKED_FOR = [
    "app-integrations:*EventIntegrationAssociation",
    # Of a distribution with one origin, and no tenants and no tags of its own.
    "cloudfront:*ConnectionGroup",
    "cloudfront:*Staging*",
    "cloudfront:*VpcOrigin",
    "cloudwatch:*Insight*",
    "connect:*Bot*",
    "dynamodb:*Item",
    "dynamodb:*Replica",
    "dynamodb:*KinesisStreamingDestination",
    "dynamodb:*ContributorInsights",
    "dynamodb:*ResourcePolicy",
    "dynamodb:ImportTable",
    "dynamodb:Query",
    "dynamodb:Scan",
    "iam:*GroupPolicy",
    "iam:*UserPolicy",
    "iam:*achRolePolicy",
    "iam:CreateServiceLinkedRole",
    # Of a stream with one shard of the usual size and no metrics of each shard.
    "kinesis:*EnhancedMonitoring",
    "kinesis:PutRecord*",
    "kinesis:UpdateMaxRecordSize",
    "kinesis:UpdateShardCount",
    "kinesis:UpdateStreamMode",
    "kinesis:UpdateStreamRecordDistributionStrategy",
    "kinesis:UpdateStreamWarmThroughput",
    "lambda:*CodeSigningConfig",
    "lambda:*LayerVersion",
    "lambda:*RuntimeAlias",
    "lambda:DeleteProvisionedConcurrencyConfig",
    "lambda:PutProvisionedConcurrencyConfig",
    "lambda:PassCapacityProvider",
    "lambda:PutFunctionRecursionConfig",
    "lambda:PutFunctionScalingConfig",
    "lambda:PutRuntimeManagementConfig",
    "logs:*DataProtectionPolicy",
    "logs:*IndexPolicy",
    "logs:*KmsKey",
    "logs:*LogDelivery",
    "logs:*LogEvents",
    "logs:*LogStream*",
    "logs:*ResourcePolicy",
    "logs:PutBearerTokenAuthentication",
    "logs:PutLogGroupDeletionProtection",
    # Of SAM's bucket.
    # Of a bucket with nothing but its owner, its encryption and its policy.
    "s3:*Abac",
    "s3:*Acl",
    "s3:*Analytics*",
    "s3:*BucketWebsite",
    "s3:*Cors",
    "s3:*Inventory*",
    "s3:*IntelligentTiering*",
    "s3:*Lifecycle*",
    "s3:*Metadata*",
    "s3:*MetricsConfiguration",
    "s3:*ObjectLock*",
    "s3:*Replication*",
    "s3:*agResource",
    "s3:DeleteBucketEncryption",
    "s3:DeleteObject",
    # Of a log group.
    "s3:REST.PUT.OBJECT",
    "s3:ListAllMyBuckets",
    "s3:PutAccelerateConfiguration",
    "s3:PutBucketLogging",
    "s3:PutBucketNotification",
    "s3:PutBucketVersioning",
    "secretsmanager:*Replica*",
]


class Deployer(unittest.TestCase):
    def test_the_documented_policy_is_enough_to_make_change_and_delete_each_resource(self):
        policy = json.loads((PROJECT / "docs" / "deployer-policy.json").read_text())
        allowed = []
        for statement in policy["Statement"]:
            actions = statement["Action"]
            allowed += [actions] if isinstance(actions, str) else actions
        services = {action.split(":")[0] for action in allowed}
        for kind in sorted({one["Type"] for one in transformed()["Resources"].values()}):
            if kind.startswith("Custom::"):
                continue
            handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema.get(
                "handlers", {}
            )
            for handler in ("create", "read", "update", "delete"):
                for action in handlers.get(handler, {}).get("permissions", []):
                    if action.split(":")[0] in services and not matches_any(action, NEVER_ASKED_FOR):
                        self.assertTrue(matches_any(action, allowed), f"{kind}, {handler}: {action}")

    def test_amazon_connects_own_role_may_be_given_the_right_to_the_stream(self):
        """Amazon Connect does it in the deployer's name, as it stores in the role that is linked to it.

        https://docs.aws.amazon.com/connect/latest/adminguide/restrict-access-examples.html
        """
        policy = json.loads((PROJECT / "docs" / "deployer-policy.json").read_text())
        linked = "aws-service-role/connect.amazonaws.com/AWSServiceRoleForAmazonConnect_x"
        role = f"arn:aws:iam::123456789012:role/{linked}"
        stream = "arn:aws:kinesis:us-east-1:123456789012:stream/connect-dynamics-ContactRecords-x"
        # Whoever turns a stream's encryption on names stream and key.
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonkinesisdatastreams.html
        key = "arn:aws:kms:us-east-1:123456789012:key/aws-kinesis"
        for action, resource in [
            ("iam:PutRolePolicy", role),
            ("kinesis:DescribeStream", stream),
            ("kinesis:StartStreamEncryption", stream),
            ("kinesis:StartStreamEncryption", key),
        ]:
            allowing = [
                statement
                for statement in policy["Statement"]
                if matches_any(action, listed(statement["Action"]))
                and matches_any(resource, listed(statement["Resource"]))
            ]
            self.assertTrue(allowing, f"{action} on {resource}")

    def test_it_fits_into_a_managed_policy(self):
        policy = json.loads((PROJECT / "docs" / "deployer-policy.json").read_text())
        self.assertLess(len(json.dumps(policy, separators=(",", ":"))), 6144)


def listed(value):
    return [value] if isinstance(value, str) else value


def matches_any(action, patterns):
    """As IAM compares actions: with `*`, and without regard to case."""
    return any(fnmatch.fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)


def waits_for(name):
    """What a resource waits for, by its references and DependsOn: the logical ids, with theirs in turn."""
    found, todo = set(), {name}
    while todo:
        text = json.dumps(transformed()["Resources"][todo.pop()])
        ids = set(re.findall(r'"Ref": "(\w+)"|"Fn::GetAtt": \["(\w+)"|"DependsOn": "(\w+)"|\$\{(\w+)', text))
        new = {one for group in ids for one in group if one in RESOURCES} - found
        found |= new
        todo |= new
    return found


class FirstDeployment(unittest.TestCase):
    def test_instance_and_buckets_are_tried_before_there_is_a_table(self):
        """So that the likeliest mistake leaves nothing that has to be deleted by hand."""
        self.assertLessEqual({"InstanceStorage", "BucketSwitch", "AgentPageSettings"}, waits_for("Table"))
        self.assertNotIn("Table", waits_for("BucketSwitch") | waits_for("AgentPageContent"))

    def test_what_is_kept_when_the_stack_is_deleted(self):
        kept = {name: one["DeletionPolicy"] for name, one in RESOURCES.items() if "DeletionPolicy" in one}
        logs = {name for name, one in RESOURCES.items() if one["Type"] == "AWS::Logs::LogGroup"}
        queues = {name for name, one in RESOURCES.items() if one["Type"] == "AWS::SQS::Queue"}
        self.assertEqual(
            kept,
            # A table that refuses to be deleted would make the rollback of a first deployment fail.
            {"Table": "Retain"}
            # What nobody has read yet is in the queues and in the stream.
            | dict.fromkeys({"Secret", "ContactRecords"} | queues, "RetainExceptOnCreate")
            | dict.fromkeys({"AgentPageBucket"} | logs, "Delete"),
        )


class Samconfig(unittest.TestCase):
    def architectures(self, parameters):
        """What SAM takes each function's processor for, with these parameters."""
        stacks, _ = SamLocalStackProvider.get_stacks(
            str(PROJECT / "template.yaml"), parameter_overrides=parameters
        )
        return {tuple(function.architectures) for function in SamFunctionProvider(stacks).get_all()}

    def test_what_is_built_is_what_is_deployed_whatever_guided_saves(self):
        """`sam deploy --guided` saves every parameter for `sam deploy`; `sam build` reads none of them."""
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(PROJECT / "samconfig.toml", folder)
            answers = {name: one.get("Default", "any") for name, one in TEMPLATE["Parameters"].items()}
            context = unittest.mock.Mock(info_name="deploy", samconfig_dir=folder)
            context.parent = None
            with (
                unittest.mock.patch("click.get_current_context", return_value=context),
                unittest.mock.patch(
                    "samcli.commands.deploy.guided_config.get_cmd_names", return_value=["deploy"]
                ),
                contextlib.redirect_stdout(io.StringIO()),
            ):
                guided = GuidedConfig(str(PROJECT / "template.yaml"), "parameters")
                guided.save_config(
                    {name: str(value) for name, value in answers.items()}, config_file="samconfig.toml"
                )
            saved = SamConfig(folder, "samconfig.toml")
            text = saved.get_all(["deploy"], "parameters")["parameter_overrides"]
            self.assertIn("EventConcurrency=", text)
            deployed = self.architectures(CfnParameterOverridesType().convert(text, None, None))
            self.assertNotIn("parameter_overrides", saved.get_all(["build"], "parameters"))
            self.assertEqual(self.architectures({}), deployed)
        self.assertEqual(deployed, {("arm64",)})

    def test_what_guided_is_told_stays_out_of_the_tracked_file(self):
        """It is the account's: ids, the bucket, an e-mail address."""
        ignored = (PROJECT / ".gitignore").read_text().splitlines()
        for line in re.findall(
            r"^sam .*--guided.*$", (PROJECT / "docs" / "setup.md").read_text(), re.MULTILINE
        ):
            file = re.search(r"--config-file (\S+)", line)[1]
            self.assertIn(f"/{file}", ignored)

    def test_every_environment_is_built_alike(self):
        config = SamConfig(PROJECT, "samconfig.toml")
        for environment in ("default", "test", "production"):
            self.assertEqual(
                config.get_all(["build"], "parameters", env=environment),
                {"beta_features": True, "cached": False},
            )


class SamLocal(unittest.TestCase):
    def test_env_json_reaches_every_function_and_leaves_nothing_empty(self):
        overrides = json.loads((PROJECT / "env.json").read_text())["Parameters"]
        stacks, _ = SamLocalStackProvider.get_stacks(str(PROJECT / "template.yaml"))
        provider = SamFunctionProvider(stacks)
        for name in FUNCTIONS:
            function = provider.get(name)
            variables = EnvironmentVariables(
                name,
                function.memory,
                function.timeout,
                function.handler,
                variables=function.environment["Variables"],
                override_values=overrides,
            )
            resolved = variables.resolve()
            self.assertLessEqual(overrides.items(), resolved.items(), name)
            empty = [key for key in function.environment["Variables"] if not resolved[key]]
            # Here nobody has asked Amazon Connect. Empty folders are as good as none: default names tell.
            self.assertEqual(empty, ["RECORDING_FOLDERS"] if name == "RecordingAvailable" else [], name)


class Table(unittest.TestCase):
    def test_it_is_the_one_that_the_other_tests_use(self):
        with local_system() as system:
            dynamodb = boto3.client(
                "dynamodb",
                endpoint_url=system.aws,
                region_name="us-east-1",
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
            local = dynamodb.describe_table(TableName="connect-dynamics")["Table"]
        template = RESOURCES["Table"]["Properties"]

        def by_name(attributes):
            return {attribute["AttributeName"]: attribute["AttributeType"] for attribute in attributes}

        def indexes(table):
            return [
                {key: json.loads(json.dumps(index[key])) for key in ("IndexName", "KeySchema", "Projection")}
                for index in table["GlobalSecondaryIndexes"]
            ]

        self.assertEqual(by_name(template["AttributeDefinitions"]), by_name(local["AttributeDefinitions"]))
        self.assertEqual(json.loads(json.dumps(template["KeySchema"])), local["KeySchema"])
        self.assertEqual(indexes(template), indexes(local))


if __name__ == "__main__":
    unittest.main()
