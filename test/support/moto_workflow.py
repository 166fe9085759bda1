"""Runs a state machine in the interpreter of moto with scripted function results, and tells the path that it took.

Standard input: {"definition": text, "input": value, "script": {function: [step, ...]}}, where a step is {"payload": value},
{"payload": value, "answer": value} for a state that waits on a token, or {"error": name, "message": text}.
Standard output: {"status", "output", "error", "path"}.

moto brings the grammar and the machine but nothing that evaluates JSONata (it names a Java library that is not there), so a
Python implementation of JSONata is put in its place: two engines that share no code with ours.
"""

import json
import sys
import threading
import time

import boto3
from jsonata import Jsonata
from moto import mock_aws
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.stepfunctions.parser.asl.jsonata import jsonata as moto_jsonata

given = json.load(sys.stdin)
region = "us-east-1"


def evaluate(expression):
    value = Jsonata(expression).evaluate(None)
    return json.loads(json.dumps(value))


# The name is imported into other modules; this is the variable that they end up calling.
moto_jsonata._eval_jsonata = evaluate


def client():
    return boto3.client("stepfunctions", region_name=region, aws_access_key_id="a", aws_secret_access_key="b")


def invoke(parameters, **_):
    name = parameters["FunctionName"].split(":")[-1]
    step = given["script"][name].pop(0)
    if "error" in step:
        failure = {"errorType": step["error"], "errorMessage": step["message"]}
        return {"FunctionError": "Unhandled", "Payload": failure, "StatusCode": 200}
    if "answer" in step:
        token = json.loads(parameters["Payload"])["taskToken"]
        answer = json.dumps(step["answer"])
        threading.Timer(0.2, lambda: client().send_task_success(taskToken=token, output=answer)).start()
    return {"Payload": step["payload"], "StatusCode": 200, "ExecutedVersion": "$LATEST"}


lambda_eval_utils._invoke_lambda_function = invoke

with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
    sfn = client()
    machine = sfn.create_state_machine(
        name="train", roleArn="arn:aws:iam::123456789012:role/workflow", definition=given["definition"]
    )["stateMachineArn"]
    execution = sfn.start_execution(stateMachineArn=machine, name="run", input=json.dumps(given["input"]))["executionArn"]
    deadline = time.monotonic() + 60
    while True:
        ended = sfn.describe_execution(executionArn=execution)
        if ended["status"] != "RUNNING" or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    events = sfn.get_execution_history(executionArn=execution)["events"]
    path = [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]
    told = {"status": ended["status"], "path": path}
    if "output" in ended:
        told["output"] = json.loads(ended["output"])
    if "error" in ended:
        told["error"] = ended["error"]
    if "cause" in ended:
        told["cause"] = ended["cause"]
    print(json.dumps(told))
