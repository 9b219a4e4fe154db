"""The SDK for Python, 1.x."""

import asyncio

import task
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


async def main():
    async with (
        streamablehttp_client(task.URL, headers=task.HEADERS) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        begun = await session.initialize()
        tools = [tool.name for tool in (await session.list_tools()).tools]

        async def call(name, arguments):
            answer = await session.call_tool(name, arguments)
            assert not answer.isError, answer
            return answer.structuredContent

        await task.work(tools, call, begun.protocolVersion)


asyncio.run(main())
