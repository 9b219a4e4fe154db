"""langchain-mcp-adapters: tools of LangChain."""

import asyncio
import json

import task
from langchain_mcp_adapters.client import MultiServerMCPClient


async def main():
    server = {"transport": "streamable_http", "url": task.URL, "headers": task.HEADERS}
    tools = {tool.name: tool for tool in await MultiServerMCPClient({"it": server}).get_tools()}

    async def call(name, arguments):
        blocks = await tools[name].ainvoke(arguments)
        return json.loads(blocks if isinstance(blocks, str) else blocks[0]["text"])

    await task.work(list(tools), call, None)


asyncio.run(main())
