// What E2B's SDK for JavaScript does with sandboxes as a whole; prints what came of it.
import { Sandbox, Template } from 'e2b'
const said = {}
const raised = async (act) => { try { await act(); return null } catch (error) { return error.constructor.name } }
const sandbox = await Sandbox.create({ timeoutMs: 300_000, metadata: { of: 'node', 'a b': '%+&=é' } })
said.running = await sandbox.isRunning()
said.host = sandbox.getHost(3000).startsWith(`3000-${sandbox.sandboxId}.`)
const info = await sandbox.getInfo()
said.metadata = info.metadata['a b']
await sandbox.setTimeout(600_000)
const later = (await sandbox.getInfo()).endAt - info.endAt
said.later = later >= 300_000 && later < 360_000 // what has passed since the create is added
const page = Sandbox.list({ query: { metadata: { of: 'node', 'a b': '%+&=é' }, state: ['running'] } })
said.listed = (await page.nextItems()).map((one) => one.sandboxId === sandbox.sandboxId)
said.more = page.hasNext
said.metrics = Array.isArray(await sandbox.getMetrics())
said.paused = [await sandbox.pause(), await sandbox.pause(), await sandbox.isRunning()]
said.resumed = await (await Sandbox.connect(sandbox.sandboxId, { timeoutMs: 300_000 })).isRunning()
const snapshot = await sandbox.createSnapshot()
said.snapshots = (await sandbox.listSnapshots().nextItems()).map((one) => one.snapshotId === snapshot.snapshotId)
const copy = await Sandbox.create(snapshot.snapshotId, { timeoutMs: 60_000 })
said.killed = [await copy.kill(), await Sandbox.kill(copy.sandboxId), await copy.isRunning()]
const forks = await sandbox.fork({ timeoutMs: 60_000, count: 2 })
said.forks = await Promise.all(forks.map(async (one) => (one.sandbox ?? one).kill()))
said.deleted = [await Sandbox.deleteSnapshot(snapshot.snapshotId), await Sandbox.deleteSnapshot(snapshot.snapshotId)]
await sandbox.updateNetwork({})
said.templates = [await Template.exists('base'), await Template.exists('nope')]
said.raises = [
  await raised(() => Sandbox.create('nope')),
  await raised(() => Sandbox.connect('0'.repeat(32))),
  await raised(() => Sandbox.create({ apiKey: 'e2b_' + 'c'.repeat(40) })),
]
said.end = [await sandbox.kill(), await sandbox.isRunning()]
console.log(JSON.stringify(said))
