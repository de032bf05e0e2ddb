"""A client of `heap_inspector mcp`, made of the protocol's own Python package: makes the calls that standard input lists, as JSON
[{"command": [...], "calls": [[method, name, arguments]]}], and prints what came back, as JSON. Where a tool's arguments say "follow" the
cursors of an answer that is cut off are followed."""

import asyncio
import json
import re
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

CURSOR = re.compile(r'^Cut off .* with cursor "(\S+)"\.$', re.M)


def plain(result):
    return json.loads(result.model_dump_json(by_alias=True, exclude_none=True))


async def call(session, method, name, arguments):
    if method != "tool":
        asked = {
            "tools": lambda: session.list_tools(),
            "resources": lambda: session.list_resources(),
            "templates": lambda: session.list_resource_templates(),
            "prompts": lambda: session.list_prompts(),
            "prompt": lambda: session.get_prompt(name, arguments),
            "resource": lambda: session.read_resource(name),
        }
        return [plain(await asked[method]())]
    follow = arguments.pop("follow", False)
    answers = [plain(await session.call_tool(name, arguments))]
    while follow:
        cursor = CURSOR.search(answers[-1]["content"][0]["text"])
        if not cursor:
            break
        again = {"cursor": cursor[1], **({"budget": arguments["budget"]} if "budget" in arguments else {})}
        answers.append(plain(await session.call_tool(name, again)))
    return answers


async def run(command, calls):
    server = StdioServerParameters(command=command[0], args=command[1:])
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        hello = plain(await session.initialize())
        answers = []
        for asked in calls:
            method, name, arguments = [*asked, None, None][:3]
            try:
                answers.append(await call(session, method, name, arguments or {}))
            except Exception as error:  # an answer as any other: the spec says which are expected
                answers.append([{"failed": str(error)}])
        return {"hello": hello, "answers": answers}


async def main():
    print(json.dumps([await run(**asked) for asked in json.load(sys.stdin)]))


asyncio.run(main())
