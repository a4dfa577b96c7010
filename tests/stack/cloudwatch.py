"""A small CloudWatch: what the template's alarms make of metrics, minute by minute, and who is mailed.

It knows what these alarms use: statistics, periods in sliding windows, M of N datapoints, missing data,
metric math, actions, and the filter of the mail's subscription. CloudWatch's ways with missing data:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""

import ast
import collections
import re

# An alarm looks at some datapoints more than it needs, for when there are missing ones among them.
MORE_DATAPOINTS = 2
STATISTICS = {"Sum": sum, "Maximum": max, "Minimum": min}
COMPARISONS = {
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}


class Metrics:
    """Values by metric and minute. A metric is its namespace, its name, and what its one dimension names."""

    def __init__(self):
        self.values = collections.defaultdict(lambda: collections.defaultdict(list))
        # Each is asked for often, as the periods slide.
        self.datapoints = {}

    def put(self, metric, minute, value):
        self.values[metric][minute].append(value)

    def datapoint(self, metric, statistic, period, end):
        """The statistic of the period's minutes before `end`; none if there is no value."""
        key = (metric, statistic, period, end)
        if key not in self.datapoints:
            minutes = self.values[metric]
            found = [value for minute in range(end - period, end) for value in minutes.get(minute, ())]
            self.datapoints[key] = STATISTICS[statistic](found) if found else None
        return self.datapoints[key]


def resolve(value, parameters):
    """What the template's functions stand for: a parameter's value, else the resource's logical id."""
    match value:
        case {"Ref": "AWS::StackName"}:
            return "stack"
        case {"Ref": name}:
            return parameters.get(name, name)
        case {"Fn::GetAtt": [name, _]}:
            return name
    return value


class Alarm:
    """An alarm of the template.

    `fills_empty` is whether FILL fills a metric that has no value at all; AWS does not say.
    """

    def __init__(self, properties, parameters, fills_empty):
        self.fills_empty = fills_empty
        self.compare = COMPARISONS[properties["ComparisonOperator"]]
        self.threshold = float(resolve(properties["Threshold"], parameters))
        self.needed = properties["EvaluationPeriods"]
        self.to_alarm = properties.get("DatapointsToAlarm", self.needed)
        self.missing = properties["TreatMissingData"]
        self.state = "INSUFFICIENT_DATA"
        self.actions = {"ALARM": properties.get("AlarmActions"), "OK": properties.get("OKActions")}
        self.expression, self.inputs = None, {}
        for query in properties.get("Metrics", []):
            query = query["Fn::If"][1] if "Fn::If" in query else query
            if "Expression" in query:
                text = re.sub(r"\b(AND|OR)\b", lambda word: word[0].lower(), query["Expression"])
                self.expression = ast.parse(text, mode="eval").body
            else:
                stat = query["MetricStat"]
                self.inputs[query["Id"]] = self.input(stat["Metric"], stat["Stat"], stat["Period"])
        if not self.inputs:
            self.inputs["value"] = self.input(properties, properties["Statistic"], properties["Period"])

    @staticmethod
    def input(metric, statistic, period):
        (dimension,) = metric["Dimensions"]
        name = (metric["Namespace"], metric["MetricName"], resolve(dimension["Value"], {}))
        return name, statistic, period // 60

    def evaluate(self, metrics, now):
        """Looks at the metrics, and returns the state that it was in before if it is in another one now."""
        # One datapoint more, before the others, for DIFF.
        count = self.needed + MORE_DATAPOINTS + 1
        series = {
            name: [
                metrics.datapoint(metric, statistic, period, now - back * period)
                for back in reversed(range(count))
            ]
            for name, (metric, statistic, period) in self.inputs.items()
        }
        values = self.calculate(self.expression, series) if self.expression else series["value"]
        before, self.state = self.state, self.judge(values[1:])
        return before if before != self.state else None

    def judge(self, values):
        real = [self.compare(value, self.threshold) for value in values if value is not None]
        if not real:
            without = {"notBreaching": "OK", "breaching": "ALARM", "missing": "INSUFFICIENT_DATA"}
            return without.get(self.missing, self.state)
        real = real[-self.needed :]
        lacking = self.needed - len(real)
        if sum(real) >= self.to_alarm:
            return "ALARM"
        if lacking == 0 or self.missing == "notBreaching":
            return "OK"
        if self.missing == "breaching":
            return "ALARM" if sum(real) + lacking >= self.to_alarm else "OK"
        if not all(real):
            return "OK"
        return self.state if self.missing == "ignore" else "ALARM"

    def calculate(self, node, series):
        """A metric math expression: a list of values, none where one is missing that is needed."""
        length = len(next(iter(series.values())))

        def each(function, *operands):
            return [
                None if None in values else float(function(*values)) for values in zip(*operands, strict=True)
            ]

        match node:
            case ast.Constant(value=value):
                return [float(value)] * length
            case ast.Name(id=name):
                return series[name]
            case ast.BoolOp(op=op, values=parts):
                combine = all if isinstance(op, ast.And) else any
                return each(
                    lambda *values: combine(values), *(self.calculate(part, series) for part in parts)
                )
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                compare = {
                    ast.Gt: lambda a, b: a > b,
                    ast.Lt: lambda a, b: a < b,
                    ast.GtE: lambda a, b: a >= b,
                }[type(op)]
                return each(compare, self.calculate(left, series), self.calculate(right, series))
            case ast.Call(func=ast.Name(id="METRICS"), args=[]):
                return list(series.values())
            case ast.Call(func=ast.Name(id="FILL"), args=[of, ast.Constant(value=value)]):
                found = self.calculate(of, series)
                if isinstance(found[0], list):
                    return [self.fill(one, value) for one in found]
                return self.fill(found, value)
            case ast.Call(func=ast.Name(id="SUM" | "MAX" as name), args=[of]):
                function = {"SUM": sum, "MAX": max}[name]
                columns = zip(*self.calculate(of, series), strict=True)
                there = [[value for value in column if value is not None] for column in columns]
                return [function(values) if values else None for values in there]
            case ast.Call(func=ast.Name(id="DIFF"), args=[of]):
                values = self.calculate(of, series)
                return [None, *each(lambda before, now: now - before, values[:-1], values[1:])]
            case ast.Call(func=ast.Name(id="IF"), args=[condition, then, other]):
                cases = zip(*(self.calculate(part, series) for part in (condition, then, other)), strict=True)
                return [None if met is None else (yes if met else no) for met, yes, no in cases]
        raise AssertionError(f"this CloudWatch does not know {ast.dump(node)}")

    def fill(self, values, value):
        if not self.fills_empty and not any(one is not None for one in values):
            return values
        return [value if one is None else one for one in values]


def matches(policy, message):
    """Whether a subscription's filter policy lets a message pass, which has these properties in its body."""
    return all(
        any(matches(part, message) for part in wanted) if name == "$or" else message.get(name) in wanted
        for name, wanted in policy.items()
    )


def run(template, metrics, minutes, fills_empty=True):
    """Each alarm's state in each minute, and the mails: minute, alarm, and the state that it tells of."""
    parameters = {name: value.get("Default") for name, value in template["Parameters"].items()}
    resources = template["Resources"]
    alarms = {
        name.removesuffix("Alarm"): Alarm(resource["Properties"], parameters, fills_empty)
        for name, resource in resources.items()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    }
    subscription = resources["AlarmMail"]["Properties"]
    assert subscription["FilterPolicyScope"] == "MessageBody"
    states, mails = {name: [] for name in alarms}, []
    for now in range(1, minutes + 1):
        for name, alarm in alarms.items():
            before = alarm.evaluate(metrics, now)
            states[name].append(alarm.state)
            message = {"NewStateValue": alarm.state, "OldStateValue": before}
            if before and alarm.actions.get(alarm.state) and matches(subscription["FilterPolicy"], message):
                mails.append((now, name, alarm.state))
    return states, mails
