"""The template's alarms over simulated days: their states, and the mails that somebody gets.

One mail when it begins and one when it is over; none at the first deployment; and none that says that all is
well while something waits.
"""

import unittest

import cloudwatch
from machine import FUNCTIONS
from test_template import STEPS, TEMPLATE

QUEUES = [f"{step}Queue" for step in STEPS]
HOUR, DAY = 60, 24 * 60


class Stack(cloudwatch.Metrics):
    """A stack's metrics, minute by minute, from its deployment on. All is well unless a test says no."""

    def __init__(self, minutes):
        super().__init__()
        self.minutes = minutes
        for minute in range(1, minutes):
            # SQS measures a queue that is polled, also when there is nothing in it.
            for queue in QUEUES:
                self.sqs(queue, "ApproximateNumberOfMessagesVisible", minute, 0)
                received = 30 if queue in ("ContactAnsweredQueue", "ContactEndQueue") else 0
                self.sqs(queue, "NumberOfMessagesReceived", minute, received)
                self.sqs(queue, "NumberOfMessagesDeleted", minute, received)
            # The schedule begins some minutes after the queues at worst.
            if minute >= 6:
                self.redelivery(minute)
        for minute in range(10, minutes, 7):
            for function in FUNCTIONS:
                self.put(("AWS/Lambda", "Errors", function), minute, 0)
                self.put(("AWS/Lambda", "Throttles", function), minute, 0)

    def redelivery(self, minute):
        self.put(("AWS/Lambda", "Invocations", "Redelivery"), minute, 1)
        for gauge in ("WaitingContacts", "OldestPendingAge", "FailedContacts"):
            self.gauge(gauge, minute, 0)
        self.gauge("SecretDaysLeft", minute, 200)

    def sqs(self, queue, metric, minute, value):
        self.values["AWS/SQS", metric, queue][minute] = [value]

    def gauge(self, metric, minute, value):
        self.values["ConnectDynamics", metric, "stack"][minute] = [value]

    def iterator_age(self, minute, seconds):
        """How old the last record is that was read from the stream, as Lambda measures it."""
        metric = ("AWS/Lambda", "IteratorAge", "ContactCompleted")
        self.values[metric][minute] = [seconds * 1000]

    def stop_redelivery(self, minutes):
        for minute in minutes:
            for metric in list(self.values):
                if metric[0] == "ConnectDynamics" or metric[1:] == ("Invocations", "Redelivery"):
                    self.values[metric].pop(minute, None)


class Alarms(unittest.TestCase):
    def run_alarms(self, stack):
        """States and mails; the same ones whether or not FILL fills a metric without any value."""
        states, mails = cloudwatch.run(TEMPLATE, stack, stack.minutes)
        others = cloudwatch.run(TEMPLATE, stack, stack.minutes, fills_empty=False)
        self.assertEqual(mails, others[1])
        return states, mails

    def assert_mails(self, mails, *expected):
        """The mails are these and no others, each within a quarter of an hour of when it was expected."""
        self.assertEqual([mail[1:] for mail in mails], [mail[1:] for mail in expected], mails)
        for (minute, name, state), (due, _, _) in zip(mails, expected, strict=True):
            self.assertTrue(due <= minute <= due + 15, f"{name} {state} at {minute}, expected at {due}")

    def assert_never_ok(self, states, minutes):
        self.assertEqual({state for minute, state in enumerate(states) if minute in minutes}, {"ALARM"})

    def test_a_first_deployment_and_a_quiet_day_mail_nobody(self):
        states, mails = self.run_alarms(Stack(DAY))
        self.assertEqual(mails, [])
        self.assertNotIn("ALARM", {state for timeline in states.values() for state in timeline})
        # In the end each alarm has seen that all is well, but for those over what has never been there.
        unseen = {name for name, timeline in states.items() if timeline[-1] != "OK"}
        self.assertLessEqual(unseen, {"DeadLetters", "FailedExpiring", "GivenUpRecords"})

    def test_a_stack_without_any_contact_mails_nobody(self):
        stack = Stack(DAY)
        for queue in QUEUES:
            for metric in ("NumberOfMessagesReceived", "NumberOfMessagesDeleted"):
                for minute in range(1, DAY):
                    stack.sqs(queue, metric, minute, 0)
        for function in STEPS:
            del (
                stack.values["AWS/Lambda", "Errors", function],
                stack.values["AWS/Lambda", "Throttles", function],
            )
        self.assertEqual(self.run_alarms(stack)[1], [])

    def test_one_contact_that_is_stuck_for_hours(self):
        stack = Stack(DAY)
        for minute in range(60, 500):
            stack.gauge("WaitingContacts", minute, 1)
            stack.gauge("OldestPendingAge", minute, (minute - 60) * 60)
        states, mails = self.run_alarms(stack)
        self.assert_mails(mails, (80, "OldestPending", "ALARM"), (500, "OldestPending", "OK"))
        self.assert_never_ok(states["OldestPending"], range(85, 499))

    def test_a_contact_that_never_started_is_no_alarm(self):
        stack = Stack(DAY)
        for minute in range(60, 77):
            stack.gauge("OldestPendingAge", minute, (minute - 60) * 60)
        self.assertEqual(self.run_alarms(stack)[1], [])

    def test_an_environment_that_is_down_for_an_hour_and_a_backlog_that_drains(self):
        stack = Stack(DAY)
        for minute in range(60, 300):
            # Down until 120. The oldest are delivered first, and the last of the backlog at 300.
            oldest = 60 if minute < 120 else 60 + (minute - 120) / 3
            stack.gauge("WaitingContacts", minute, 200 * min(60, minute - 59, (300 - minute) / 3))
            stack.gauge("OldestPendingAge", minute, (minute - oldest) * 60 if minute < 300 else 0)
        for minute in range(120, 140):
            stack.put(("ConnectDynamics", "Throttled", "stack"), minute, 3)
        states, mails = self.run_alarms(stack)
        self.assert_mails(
            mails,
            (80, "OldestPending", "ALARM"),
            (130, "DynamicsThrottles", "ALARM"),
            (140, "DynamicsThrottles", "OK"),
            (300, "OldestPending", "OK"),
        )
        self.assert_never_ok(states["OldestPending"], range(85, 299))

    def test_a_secret_that_ends_and_is_rotated(self):
        stack = Stack(4 * DAY)
        for minute in range(6, 4 * DAY):
            stack.gauge("SecretDaysLeft", minute, 31 - minute // DAY if minute < 3 * DAY else 700)
            # A function that works for another integration tells of that one's secret.
            if minute % 10 == 0:
                stack.put(("ConnectDynamics", "SecretDaysLeft", "stack"), minute, 300)
        states, mails = self.run_alarms(stack)
        self.assertEqual([mail[1:] for mail in mails], [("SecretEnding", "ALARM"), ("SecretEnding", "OK")])
        self.assertTrue(
            DAY <= mails[0][0] <= DAY + HOUR and 3 * DAY <= mails[1][0] <= 3 * DAY + HOUR + 1, mails
        )

    def test_redelivery_that_stops_for_half_an_hour(self):
        stack = Stack(DAY)
        stack.stop_redelivery(range(300, 330))
        _, mails = self.run_alarms(stack)
        self.assert_mails(mails, (315, "RedeliveryStopped", "ALARM"), (330, "RedeliveryStopped", "OK"))

    def test_while_redelivery_has_stopped_no_alarm_says_that_all_is_well(self):
        stack = Stack(DAY)
        for minute in range(60, 1200):
            stack.gauge("OldestPendingAge", minute, (minute - 60) * 60)
            stack.gauge("FailedContacts", minute, 3)
            stack.gauge("FailedDaysLeft", minute, 5)
        stack.stop_redelivery(range(300, 900))
        states, mails = self.run_alarms(stack)
        self.assert_mails(
            mails,
            (60, "FailedSteps", "ALARM"),
            (60, "FailedExpiring", "ALARM"),
            (80, "OldestPending", "ALARM"),
            (315, "RedeliveryStopped", "ALARM"),
            (900, "RedeliveryStopped", "OK"),
            (1200, "FailedSteps", "OK"),
            (1200, "FailedExpiring", "OK"),
            (1200, "OldestPending", "OK"),
        )
        for name in ("FailedSteps", "FailedExpiring", "OldestPending"):
            self.assert_never_ok(states[name], range(85, 1199))
        self.assert_never_ok(states["RedeliveryStopped"], range(330, 899))

    def test_a_hundred_failed_steps_that_are_set_right_after_three_hours(self):
        stack = Stack(DAY)
        for minute in range(60, 245):
            stack.gauge(
                "FailedContacts", minute, min(100, minute - 59) if minute < 240 else 20 * (245 - minute)
            )
            stack.gauge("FailedDaysLeft", minute, 30)
        states, mails = self.run_alarms(stack)
        self.assert_mails(mails, (60, "FailedSteps", "ALARM"), (245, "FailedSteps", "OK"))
        self.assert_never_ok(states["FailedSteps"], range(65, 244))

    def test_a_failed_contact_that_nobody_looks_at(self):
        stack = Stack(4 * DAY)
        for minute in range(60, 4 * DAY):
            stack.gauge("FailedContacts", minute, 1)
            stack.gauge("FailedDaysLeft", minute, 9 - minute // DAY)
        _, mails = self.run_alarms(stack)
        self.assert_mails(mails, (60, "FailedSteps", "ALARM"), (2 * DAY, "FailedExpiring", "ALARM"))

    def test_dead_letters_that_come_again_and_again(self):
        stack = Stack(DAY)
        for minute in range(60, 860):
            letters = 1 + (minute >= 70) + (minute >= 80) + (minute >= 300)
            stack.sqs(
                "DeadLetters", "ApproximateNumberOfMessagesVisible", minute, letters if minute < 600 else 0
            )
        states, mails = self.run_alarms(stack)
        self.assert_mails(
            mails,
            (60, "DeadLetters", "ALARM"),
            # Within the hour of the first one.
            (120, "MoreDeadLetters", "ALARM"),
            (300, "MoreDeadLetters", "ALARM"),
            (600, "DeadLetters", "OK"),
        )
        self.assert_never_ok(states["DeadLetters"], range(65, 599))

    def test_events_that_no_function_takes(self):
        """As when the function's trigger is disabled."""
        stack = Stack(DAY)
        for minute in range(300, 400):
            stack.sqs("ContactEndQueue", "NumberOfMessagesReceived", minute, 0)
            stack.sqs("ContactEndQueue", "NumberOfMessagesDeleted", minute, 0)
            stack.sqs("ContactEndQueue", "ApproximateNumberOfMessagesVisible", minute, (minute - 299) * 30)
            stack.sqs("ContactEndQueue", "ApproximateAgeOfOldestMessage", minute, (minute - 300) * 60)
        states, mails = self.run_alarms(stack)
        self.assert_mails(mails, (315, "EventsWaiting", "ALARM"), (400, "EventsWaiting", "OK"))
        self.assert_never_ok(states["EventsWaiting"], range(320, 399))

    def test_events_that_functions_take_and_cannot_store(self):
        """SQS tells no age above nine minutes then: what was received three times does not count."""
        for arriving, until in [(30, 360), (0, 360)]:
            with self.subTest(arriving=arriving):
                stack = Stack(DAY)
                for minute in range(300, until):
                    waiting = 1 + arriving * (minute - 299)
                    stack.sqs("ContactEndQueue", "NumberOfMessagesReceived", minute, -(-waiting // 3))
                    stack.sqs("ContactEndQueue", "NumberOfMessagesDeleted", minute, 0)
                    age = 540 if arriving else 0
                    stack.sqs("ContactEndQueue", "ApproximateAgeOfOldestMessage", minute, age)
                states, mails = self.run_alarms(stack)
                self.assert_mails(mails, (315, "EventsRefused", "ALARM"), (until, "EventsRefused", "OK"))
                self.assert_never_ok(states["EventsRefused"], range(320, until - 1))

    def test_contact_records_that_the_function_cannot_store(self):
        """Lambda reads the same batch again and again, and it becomes older and older."""
        stack = Stack(DAY)
        for minute in range(10, DAY):
            stack.iterator_age(minute, 1)
        for minute in range(300, 500):
            stack.iterator_age(minute, (minute - 300) * 60)
        states, mails = self.run_alarms(stack)
        self.assert_mails(mails, (360, "ContactRecordsLate", "ALARM"), (500, "ContactRecordsLate", "OK"))
        self.assert_never_ok(states["ContactRecordsLate"], range(365, 499))

    def test_contact_records_that_were_given_up(self):
        stack = Stack(DAY)
        for minute in range(300, DAY):
            given_up = 1 if minute < 500 else 0
            stack.sqs("GivenUpRecords", "ApproximateNumberOfMessagesVisible", minute, given_up)
        states, mails = self.run_alarms(stack)
        self.assert_mails(mails, (300, "GivenUpRecords", "ALARM"), (500, "GivenUpRecords", "OK"))
        self.assert_never_ok(states["GivenUpRecords"], range(305, 499))

    def test_contact_records_that_are_read_within_minutes_or_never_come_are_no_alarm(self):
        stack = Stack(DAY)
        for minute in range(10, DAY // 2):
            # After an outage of half an hour.
            stack.iterator_age(minute, max(0, 1800 - minute * 10))
        self.assertEqual(self.run_alarms(stack)[1], [])

    def test_one_event_that_is_received_just_before_it_is_deleted_is_no_alarm(self):
        stack = Stack(DAY)
        for minute in range(1, DAY):
            stack.sqs("ContactEndQueue", "NumberOfMessagesReceived", minute, minute % 30 == 0)
            stack.sqs("ContactEndQueue", "NumberOfMessagesDeleted", minute, minute % 30 == 1)
        self.assertEqual(self.run_alarms(stack)[1], [])

    def test_what_needs_a_person_is_mailed_once_an_hour_and_never_said_to_be_over(self):
        for metric, name in [
            (("ConnectDynamics", "EventNotStored", "stack"), "EventNotStored"),
            (("AWS/Events", "FailedInvocations", "EndedRule"), "RulesFailing"),
        ]:
            with self.subTest(name):
                stack = Stack(DAY)
                for minute in (300, 310, 340, 800):
                    stack.put(metric, minute, 1)
                _, mails = self.run_alarms(stack)
                self.assert_mails(mails, (300, name, "ALARM"), (800, name, "ALARM"))

    def test_errors_and_throttles_now_and_then(self):
        for metric in ("Errors", "Throttles"):
            with self.subTest(metric):
                stack = Stack(DAY)
                for minute in (300, 302, 310, 312):
                    stack.put(("AWS/Lambda", metric, "ContactStart"), minute, 1)
                _, mails = self.run_alarms(stack)
                self.assert_mails(mails, (300, metric, "ALARM"), (325, metric, "OK"))


if __name__ == "__main__":
    unittest.main()
