"""ministack, with one thing more: a test may put events on the bus as Amazon Connect does.

AWS, and so ministack, lets nobody else use a source that begins with `aws.`.
"""

from ministack.app import main
from ministack.services import eventbridge

(allow_aws_source,) = eventbridge._put_events.__defaults__
assert allow_aws_source is False
eventbridge._put_events.__defaults__ = (True,)
main()
