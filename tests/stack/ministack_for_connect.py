"""ministack, where it differs from AWS in what this stack needs.

- A test may put events on the bus as Amazon Connect does. AWS, and so ministack, lets nobody else use a
  source that begins with `aws.`.
- `Ref` of a secret is its ARN, as in AWS; ministack gives its name.
- A request to DynamoDB carries the keys that it names, `dynamodb:LeadingKeys`, as in AWS.
- A request counts as made by TLS, `aws:SecureTransport`, as all to AWS are. Here they come by loopback.
- A parameter of type Number is a number where a queue's trigger says how much runs at the same time.
- A batch of a stream comes again, as a whole, while its function says that a record of it has failed.
- A function runs whatever processor it was built for.
- Amazon Connect's API, which it does not have, is where AWS_ENDPOINT_URL_CONNECT says.
"""

import json
import os
import subprocess
import types

from ministack.app import main
from ministack.core import iam_actions, iam_evaluator, lambda_runtime
from ministack.services import eventbridge, lambda_svc
from ministack.services.cloudformation import provisioners

from machine import to_run

assert eventbridge._put_events.__defaults__ == (False,)  # allow_aws_source
eventbridge._put_events.__defaults__ = (True,)

secret = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
create_secret = secret["create"]


def create(*arguments):
    _, attributes = create_secret(*arguments)
    return attributes["Arn"], attributes


secret["create"] = create

concurrency = lambda_svc._sqs_esm_concurrency


def concurrency_in_numbers(mapping, *arguments):
    scaling = {key: int(value) for key, value in (mapping.get("ScalingConfig") or {}).items()}
    return concurrency(mapping | {"ScalingConfig": scaling}, *arguments)


lambda_svc._sqs_esm_concurrency = concurrency_in_numbers

execute = lambda_svc._execute_function


def with_failures(function, event, *arguments, **options):
    result = execute(function, event, *arguments, **options)
    of_a_stream = any("kinesis" in record for record in event.get("Records", []))
    body = result.get("body")
    body = json.loads(body) if isinstance(body, str | bytes) else body
    if of_a_stream and isinstance(body, dict) and body.get("batchItemFailures"):
        return result | {"error": True}
    return result


lambda_svc._execute_function = with_failures

context = iam_actions.dynamodb_service_context


def with_leading_keys(body):
    request = json.loads(body or b"{}")
    # All of this stack's table have the one key `pk`. A query of its index names none.
    item = request.get("Item") or request.get("Key") or {}
    keys = {"dynamodb:LeadingKeys": [item["pk"]["S"]]} if "pk" in item else {}
    return context(body) | keys


iam_actions.dynamodb_service_context = with_leading_keys


condition_key = iam_evaluator._resolve_condition_key


def by_tls(key, evaluated):
    return "true" if key.lower() == "aws:securetransport" else condition_key(key, evaluated)


iam_evaluator._resolve_condition_key = by_tls


def popen(command, **options):
    name = "AWS_ENDPOINT_URL_CONNECT"
    options["env"] = options["env"] | {name: os.environ[name]}
    return subprocess.Popen(to_run(command[0]) + command[1:], **options)


# The only process that it starts is a function's.
lambda_runtime.subprocess = types.SimpleNamespace(**vars(subprocess) | {"Popen": popen})

main()
