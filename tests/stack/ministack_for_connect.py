"""ministack, where it differs from AWS in what this stack needs.

- A test may put events on the bus as Amazon Connect does. AWS, and so ministack, lets nobody else use a
  source that begins with `aws.`.
- `Ref` of a secret is its ARN, as in AWS; ministack gives its name.
"""

from ministack.app import main
from ministack.services import eventbridge
from ministack.services.cloudformation import provisioners

assert eventbridge._put_events.__defaults__ == (False,)  # allow_aws_source
eventbridge._put_events.__defaults__ = (True,)

secret = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
create_secret = secret["create"]


def create(*arguments):
    _, attributes = create_secret(*arguments)
    return attributes["Arn"], attributes


secret["create"] = create

main()
