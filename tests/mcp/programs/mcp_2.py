"""The SDK for Python, 2.x."""

import asyncio

import httpx2
import task
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


async def main():
    async with (
        httpx2.AsyncClient(headers=task.HEADERS, timeout=90) as http,
        Client(streamable_http_client(task.URL, http_client=http)) as client,
    ):
        tools = [tool.name for tool in (await client.list_tools()).tools]

        async def call(name, arguments):
            answer = await client.call_tool(name, arguments)
            assert not answer.is_error, answer
            return answer.structured_content

        await task.work(tools, call, client.protocol_version)


asyncio.run(main())
