"""FastMCP's client."""

import asyncio

import task
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport


async def main():
    async with Client(StreamableHttpTransport(task.URL, headers=task.HEADERS)) as client:
        tools = [tool.name for tool in await client.list_tools()]

        async def call(name, arguments):
            return (await client.call_tool(name, arguments)).structured_content

        await task.work(tools, call, None)


asyncio.run(main())
