// What each client does: list, create, run, read, write, delete. It prints what it has seen.
export const [url, key] = process.argv.slice(2);
export const headers = { Authorization: `Bearer ${key}` };

export async function work(client, version) {
  const { tools } = await client.listTools();
  const call = async (name, args) => {
    const answer = await client.callTool({ name, arguments: args });
    if (answer.isError) throw new Error(answer.content[0].text);
    return answer.structuredContent;
  };
  const seen = { tools: tools.map((tool) => tool.name).sort(), version };
  const { sandbox_id } = await call("create_sandbox", {});
  const command = "echo out; echo err >&2; exit 3";
  const ran = await call("run_command", { sandbox_id, command });
  seen.ran = [ran.returncode, ran.stdout, ran.stderr];
  await call("write_file", { sandbox_id, path: "a", content: "one\ntwo\n" });
  seen.read = (await call("read_file", { sandbox_id, path: "a", offset: 2 })).content;
  const { sandboxes } = await call("list_sandboxes", {});
  seen.listed = sandboxes.some((one) => one.sandbox_id === sandbox_id);
  seen.deleted = (await call("delete_sandbox", { sandbox_id })).sandbox_id === sandbox_id;
  console.log(JSON.stringify(seen));
  await client.close();
}
