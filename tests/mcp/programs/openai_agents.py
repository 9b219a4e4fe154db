"""The OpenAI Agents SDK. Its calls end after five seconds if it is not told otherwise."""

import asyncio
import json

import task
from agents.mcp import MCPServerStreamableHttp


async def main():
    server = MCPServerStreamableHttp(
        {"url": task.URL, "headers": task.HEADERS, "timeout": 60},
        client_session_timeout_seconds=60,
    )
    async with server:
        tools = [tool.name for tool in await server.list_tools()]

        async def call(name, arguments):
            answer = await server.call_tool(name, arguments)
            return json.loads(answer.content[0].text)

        await task.work(tools, call, None)


asyncio.run(main())
