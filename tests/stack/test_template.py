"""What template.yaml, samconfig.toml and env.json say, read as AWS's tools read them."""

import json
import re
import unittest

import boto3
from samcli.lib.config.samconfig import SamConfig
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
from samcli.local.lambdafn.env_vars import EnvironmentVariables
from samcli.yamlhelper import yaml_parse

from machine import FUNCTIONS, PROJECT, local_system

TEMPLATE = yaml_parse((PROJECT / "template.yaml").read_text())
RESOURCES = TEMPLATE["Resources"]


def flow(name):
    """The content of a flow or flow module, as Amazon Connect gets it."""
    text, values = RESOURCES[name]["Properties"]["Content"]["Fn::Sub"]
    for key, value in values.items():
        value = value if isinstance(value, str) else "arn:of:" + value["Fn::GetAtt"][0]
        text = text.replace("${" + key + "}", value)
    return json.loads(text)


def run(content, reply):
    """Runs a flow as Amazon Connect does, with this reply of the function, or none when it failed.

    Returns the contact attributes that it sets, and the type of the action that it ends with.
    https://docs.aws.amazon.com/connect/latest/APIReference/flow-language-actions.html
    """
    actions = {action["Identifier"]: action for action in content["Actions"]}
    attributes, now = {}, actions[content["StartAction"]]

    def external(path):
        return (reply or {}).get(path.removeprefix("$.External."))

    for _ in range(20):
        transitions, parameters, error = now["Transitions"], now["Parameters"], None
        if not transitions:
            return attributes, now["Type"]
        following = transitions["NextAction"]
        match now["Type"]:
            case "InvokeLambdaFunction" if reply is None:
                error = "NoMatchingError"
            case "InvokeLambdaFunction":
                pass
            case "Compare":
                value = external(parameters["ComparisonValue"]) or ""
                met = [
                    case["NextAction"]
                    for case in transitions["Conditions"]
                    if case["Condition"]["Operator"] == "TextStartsWith"
                    and value.startswith(case["Condition"]["Operands"][0])
                ]
                error = None if met else "NoMatchingCondition"
                following = met[0] if met else None
            case "UpdateContactAttributes":
                found = {key: external(path) for key, path in parameters["Attributes"].items()}
                # All are set, or none.
                error = None if all(found.values()) else "NoMatchingError"
                attributes.update({} if error else found)
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
        self.assertEqual(asking, ["AgentWhisper"])

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

    def test_each_remembers_the_record_and_the_page(self):
        reply = {
            "status": "delivered",
            "recordId": "5d3f6a1e-9c7b-4e52-8f0a-2b1c4d6e8f90",
            "recordUrl": "https://example.crm.dynamics.com/main.aspx?etn=phonecall",
            "screenPopUrl": "https://example.crm.dynamics.com/main.aspx?pagetype=entityrecord",
            "screenPopTarget": "tab",
        }
        expected = {key: value for key, value in reply.items() if key != "status"}
        for name, _, end in FLOWS:
            with self.subTest(name):
                self.assertEqual(run(flow(name), reply), (expected, end))

    def test_each_goes_on_whatever_happens(self):
        for name, _, end in FLOWS:
            for reply in [None, {"status": "failed"}, {"status": "skipped", "message": "not configured"}]:
                with self.subTest(name, reply=reply):
                    self.assertEqual(run(flow(name), reply), ({}, end))

    def test_a_missing_page_takes_nothing_from_the_record(self):
        record = {"recordId": "5d3f6a1e", "recordUrl": "https://example.crm.dynamics.com/main.aspx"}
        for name, _, end in FLOWS:
            with self.subTest(name):
                self.assertEqual(run(flow(name), {"status": "pending", **record}), (record, end))


def alarms():
    """Each alarm's metrics, by its name: their namespaces, names and dimensions."""
    found = {}
    for name, resource in RESOURCES.items():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            properties = resource["Properties"]
            metrics = [
                metric["MetricStat"]["Metric"]
                for metric in properties.get("Metrics", [])
                if "MetricStat" in metric
            ]
            found[name] = [
                (
                    metric["Namespace"],
                    metric["MetricName"],
                    {dimension["Name"]: dimension["Value"] for dimension in metric["Dimensions"]},
                )
                for metric in metrics or [properties]
            ]
    return found


class Metrics(unittest.TestCase):
    def test_an_alarm_over_a_metric_of_ours_is_over_that_one_for_the_stack(self):
        for name, metrics in alarms().items():
            with self.subTest(name):
                if any(namespace == "ConnectDynamics" for namespace, _, _ in metrics):
                    ((_, _, dimensions),) = metrics
                    self.assertEqual(dimensions, {"Stack": {"Ref": "AWS::StackName"}})

    def test_an_alarm_over_all_functions_forgets_none(self):
        functions = {
            name
            for name, resource in RESOURCES.items()
            # The bucket's switch is CloudFormation's, and tells CloudFormation of its errors.
            if resource["Type"] == "AWS::Serverless::Function" and name != "BucketEvents"
        }
        for name in ("ErrorsAlarm", "ThrottlesAlarm"):
            with self.subTest(name):
                watched = [dimensions["FunctionName"]["Ref"] for _, _, dimensions in alarms()[name]]
                self.assertEqual(sorted(watched), sorted(functions))

    def test_the_functions_are_told_the_stack_that_they_measure_for(self):
        variables = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
        self.assertEqual(variables["STACK_NAME"], {"Ref": "AWS::StackName"})

    def test_the_dashboard_shows_what_is_measured_for_the_stack(self):
        text, values = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
        for key, value in values.items():
            text = text.replace("${" + key + "}", value["Fn::Sub"])
        shown = set()
        for widget in json.loads(text)["widgets"]:
            for first, *rest in widget["properties"]["metrics"]:
                if first == "ConnectDynamics":
                    name, *dimension = rest[:3]
                    self.assertEqual(dimension, ["Stack", "${AWS::StackName}"], name)
                    shown.add(name)
                elif isinstance(first, dict) and "ConnectDynamics" in first["expression"]:
                    search = (
                        r"""{ConnectDynamics,Stack,Step} MetricName="(\w+)" Stack="\${AWS::StackName}"'"""
                    )
                    shown.add(re.search(search, first["expression"])[1])
        self.assertEqual(
            shown,
            {"Delivered", "Pending", "Failed", "Skipped"}
            | {"DynamicsLatency", "Throttled", "OldestPendingAge", "SecretDaysLeft"},
        )


class Samconfig(unittest.TestCase):
    def test_the_processor_is_read_from_one_place(self):
        """`sam local invoke` runs only what `sam build` built for the same processor."""
        for environment in ("default", "test", "production"):
            read = {
                SamConfig(PROJECT, "samconfig.toml").get_all(command.split(), "parameters", env=environment)[
                    "parameter_overrides"
                ]
                for command in ("build", "local invoke", "deploy")
            }
            with self.subTest(environment):
                self.assertEqual(len(read), 1, read)
                self.assertIn("Architecture=arm64", read.pop().split())


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
            self.assertEqual(empty, [], name)


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
